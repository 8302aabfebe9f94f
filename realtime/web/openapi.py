"""The control API, described by the table of knobs it turns: OpenAPI 3.1."""

from collections.abc import Sequence
from typing import Any, Final

from ..knobs import KNOBS, Knob

_JSON: Final = "application/json"
_ERRORS: Final = {
    400: "what was sent makes no sense",
    401: "the token is missing or wrong",
    403: "the request is for another host or from another page",
    404: "there is no such thing now",
    408: "the body did not arrive in time",
    409: "this can't be done as things are",
    413: "it is too large",
    415: "it is of a kind that is not read",
    429: "too many requests",
    503: "the server takes no more now",
}
_ALWAYS: Final = (400, 401, 403, 429)


def knob_schema(knob: Knob, styles: Sequence[str], paintings: int) -> dict[str, Any]:
    """What a knob takes in a run of these styles and so many paintings, as JSON Schema."""
    schema: dict[str, Any]
    if knob.kind == "share":
        schema = {"type": "number", "minimum": knob.low, "maximum": knob.high}
    elif knob.kind in ("size", "divider"):
        schema = {"type": ["number", "null"], "minimum": knob.low, "maximum": knob.high}
    elif knob.kind == "switch":
        schema = {"type": "boolean"}
    elif knob.kind == "choice":
        schema = {"type": "string", "enum": list(knob.choices)}
    elif knob.kind == "weights":
        schema = _weights(paintings)
    elif knob.kind == "style":
        schema = {
            "oneOf": [
                {"type": "string", "enum": [*styles, "next", "previous"]},
                {"type": "integer", "minimum": 0, "maximum": len(styles) - 1},
            ],
        }
    else:
        share = {"type": "number", "exclusiveMinimum": 0, "maximum": 1000}
        schema = {
            "type": "object",
            "properties": dict.fromkeys(styles, share),
            "additionalProperties": False,
            "minProperties": 1,
            "maxProperties": 4,
        }
    return {"description": knob.help, **schema}


def _weights(paintings: int) -> dict[str, Any]:
    if not paintings:
        return {"type": "null"}
    return {
        "type": ["array", "null"],
        "items": {"type": "number", "minimum": 0, "maximum": 1000},
        "contains": {"exclusiveMinimum": 0},
        "minItems": paintings,
        "maxItems": paintings,
    }


def describe(styles: Sequence[str], paintings: int = 0) -> dict[str, Any]:
    """The whole document for a run with these styles and so many paintings."""
    knobs = {name: knob_schema(knob, styles, paintings) for name, knob in KNOBS.items()}
    mix = {"type": "object", "additionalProperties": {"type": "number"}}
    shares = {"type": "array", "items": {"type": "number"}}
    state = {**knobs, "style": {"type": "string"}, "mix": mix, "paintings": shares}
    numbers = ("fps", "latency_ms", "latency_p95_ms", "seconds")
    counts = ("frames", "dropped", "width", "height")
    schemas: dict[str, Any] = {
        "Error": _object({"error": {"type": "string"}}),
        "Knobs": _object(state),
        "Changes": {
            "type": "object",
            "properties": knobs,
            "additionalProperties": False,
            "minProperties": 1,
            "examples": [{"style": styles[0], "strength": 0.8}],
        },
        "Style": _object(
            {
                **{n: {"type": "string"} for n in ("name", "title", "description", "credit")},
                "preview": {"type": "boolean"},
            }
        ),
        "Stream": _object(
            {
                "name": {"type": "string"},
                "kind": {"type": "string"},
                "stage": {"type": "boolean", "description": "whether overlays show it"},
                "knobs": {"$ref": "#/components/schemas/Knobs"},
                "stats": _object(
                    {n: {"type": "number"} for n in numbers}
                    | {n: {"type": "integer"} for n in counts}
                ),
            }
        ),
        "About": _object(
            {
                "version": {"type": "string"},
                "paintings": {"type": "boolean", "description": "whether pictures become styles"},
                "masks": {"type": "boolean"},
                "max_pixels": {"type": "integer"},
                "knobs": {"type": "object"},
            }
        ),
    }
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "stylize serve",
            "version": "1",
            "description": "Turns the knobs of pictures that are being painted. A stream is the "
            "frames of one sender; `stage` is the one that overlays and feeds show. "
            "`/api/control` is the same by WebSocket: send "
            '{"stream": "stage", "set": {"style": "next"}}, get knobs when they were turned and '
            "stats every second.",
        },
        "security": [{"token": []}, {}],
        "paths": _paths(),
        "components": {
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
            "schemas": schemas,
        },
    }


def _paths() -> dict[str, Any]:
    stream = [_parameter("stream", "a stream by its name, or stage", "stage")]
    style = [_parameter("style", "a style by its name", "starry")]
    return {
        "/api/about": {"get": _get("what this server can do", "About")},
        "/api/openapi.json": {"get": _get("this document", None)},
        "/api/styles": {"get": _get("the styles there are", "Style", many=True)},
        "/api/styles/{style}/preview": {
            "parameters": style,
            "get": _operation("a preview of a style", {200: _picture("image/jpeg")}, 404),
        },
        "/api/streams": {"get": _get("the streams there are", "Stream", many=True)},
        "/api/streams/{stream}": {
            "parameters": stream,
            "get": _get("one stream", "Stream", None, 404),
            "delete": _operation("end a camera", {204: {"description": "it has ended"}}, 404, 409),
        },
        "/api/streams/{stream}/knobs": {
            "parameters": stream,
            "get": _get("how the knobs stand", "Knobs", None, 404),
            "patch": {
                **_operation("turn knobs, all or none", {200: _json("Knobs")}, 404, 408, 413, 415),
                "requestBody": _body({_JSON: {"schema": _ref("Changes")}}),
            },
        },
        "/api/streams/{stream}/snapshot": {
            "parameters": stream,
            "get": _operation("the picture that shows", {200: _picture("image/png")}, 404, 409),
        },
        "/api/paintings": {
            "post": {
                **_operation(
                    "make a style of a picture",
                    {201: _json(_object({"style": {"type": "string"}}))},
                    *(408, 409, 413, 415),
                ),
                "requestBody": _body(
                    {
                        kind: {"schema": {"type": "string", "format": "binary"}}
                        for kind in ("image/png", "image/jpeg", "image/webp")
                    }
                ),
            }
        },
        "/api/offer": {
            "post": {
                **_operation(
                    "send a camera by WebRTC: a session's description, for one video",
                    {
                        200: _json(
                            _object({n: {"type": "string"} for n in ("stream", "sdp", "type")})
                        )
                    },
                    *(408, 413, 415, 503),
                ),
                "requestBody": _body(
                    {_JSON: {"schema": _object({"sdp": {"type": "string"}})}},
                ),
            }
        },
        "/metrics": {
            "get": _operation(
                "figures for Prometheus",
                {
                    200: {
                        "description": "text",
                        "content": {"text/plain": {"schema": {"type": "string"}}},
                    }
                },
            )
        },
    }


def _object(properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(properties)}


def _ref(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}


def _parameter(name: str, text: str, example: str) -> dict[str, Any]:
    return {
        "name": name,
        "in": "path",
        "required": True,
        "description": text,
        "schema": {"type": "string", "minLength": 1},
        "example": example,
    }


def _json(schema: Any) -> dict[str, Any]:
    shape = _ref(schema) if isinstance(schema, str) else schema
    return {"description": "done", "content": {_JSON: {"schema": shape}}}


def _picture(kind: str) -> dict[str, Any]:
    schema = {"type": "string", "format": "binary"}
    return {"description": "the picture", "content": {kind: {"schema": schema}}}


def _body(content: dict[str, Any]) -> dict[str, Any]:
    return {"required": True, "content": content}


def _get(text: str, name: str | None, _: None = None, *errors: int, many: bool = False) -> Any:
    shape: Any = _ref(name) if name else {"type": "object"}
    if many:
        shape = {"type": "array", "items": shape}
    return _operation(text, {200: _json(shape)}, *errors)


def _operation(text: str, answers: dict[int, Any], *errors: int) -> dict[str, Any]:
    responses = {str(status): answer for status, answer in answers.items()}
    for status in sorted({*_ALWAYS, *errors}):
        responses[str(status)] = {"description": _ERRORS[status], **_json("Error")} | {
            "description": _ERRORS[status]
        }
    return {"summary": text, "responses": responses}
