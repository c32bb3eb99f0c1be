"""Whatever FastAPI raises, in the shape of OpenAI's errors."""

from typing import Any

from valley.serve.errors import ApiError


def add_errors(app: Any) -> None:
    from fastapi import Request
    from fastapi.exceptions import RequestValidationError
    from fastapi.responses import JSONResponse
    from starlette.exceptions import HTTPException

    def answer(error: ApiError) -> JSONResponse:
        return JSONResponse(error.record(), error.status, error.headers)

    @app.exception_handler(ApiError)
    async def api_error(_: Request, error: ApiError) -> JSONResponse:
        return answer(error)

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> JSONResponse:
        return answer(_first_problem(error.errors()))

    @app.exception_handler(HTTPException)
    async def http_error(_: Request, error: HTTPException) -> JSONResponse:
        said = answer(ApiError(error.status_code, str(error.detail)))
        said.headers.update(error.headers or {})
        return said

    @app.exception_handler(Exception)
    async def unexpected(_: Request, error: Exception) -> JSONResponse:
        return answer(ApiError(500, f"the server failed: {type(error).__name__}"))


def _first_problem(problems: Any) -> ApiError:
    """The first of pydantic's findings. What was sent is not repeated."""
    problem = problems[0]
    if problem["type"] == "json_invalid":
        return ApiError(400, "the body is not JSON")
    where = ".".join(str(part) for part in problem["loc"][1:])
    text = problem["msg"].removeprefix("Value error, ")
    return ApiError(400, f"{where}: {text}" if where else text, where or None)
