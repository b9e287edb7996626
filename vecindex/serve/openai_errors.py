"""The errors of the routes that the `openai` client asks, in the shape that it reads."""

from __future__ import annotations

import re

from fastapi.responses import Response

from .problems import Problem, json_response

EMBEDDINGS, MODELS = "/v1/embeddings", "/v1/models"
_CODES = {"Unauthorized": "invalid_api_key", "TooManyRequests": "rate_limit_exceeded"}


def response_to(path: str, problem: Problem) -> Response:
    """What a request for this path is answered for a problem."""
    if path != EMBEDDINGS and path != MODELS and not path.startswith(f"{MODELS}/"):
        return problem.response()
    # The client has an exception for each status. That of OpenAI for what cannot be used is 400.
    status = 400 if problem.status_code == 422 else problem.status_code
    kind = "server_error" if status >= 500 else "rate_limit_error" if status == 429 else "invalid_request_error"
    error = {
        "message": f"{problem.message[:1].upper()}{problem.message[1:]}. {problem.advice}",
        "type": kind,
        "param": problem.members.get("param"),
        "code": _CODES.get(problem.kind) or re.sub("(?<=[a-z])(?=[A-Z])", "_", problem.kind).lower(),
    }
    return json_response({"error": error}, status, problem.headers)
