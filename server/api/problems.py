"""Errors over HTTP: `application/problem+json` (RFC 9457) with our stable `error` and the sentence in both languages.

Who may not know that a thing exists is told 404, in the same words as if it did not.
"""

import json
from collections.abc import Mapping
from http import HTTPStatus

from aiohttp import web
from pydantic import BaseModel, ConfigDict

from signaling.room.messages import Text
from signaling.room.problems import PROBLEMS

CONTENT_TYPE = "application/problem+json"

TEXTS: dict[str, Text] = PROBLEMS | {
    "bad_request": Text(zh="请求格式不正确。", en="The request was not understood."),
    "invalid": Text(zh="填写的内容不符合要求。", en="Some of the values are not valid."),
    "not_signed_in": Text(zh="请先登录。", en="Please log in first."),
    "wrong_login": Text(zh="用户名或密码不正确。", en="The user name or password is not correct."),
    "too_many_attempts": Text(
        zh="登录尝试过于频繁，请一分钟后再试。", en="Too many attempts; please try again in a minute."
    ),
    "link_invalid": Text(zh="该登录链接无效、已使用或已过期。", en="This link is not valid, was used, or has expired."),
    "foreign_origin": Text(zh="请求来自其他网站，已拒绝。", en="The request came from another site and was refused."),
    "not_found": Text(zh="没有找到，或您无权查看。", en="Not found, or not for you to see."),
    "method_not_allowed": Text(zh="不支持该请求方法。", en="That method is not supported here."),
    "too_large": Text(zh="请求内容过大。", en="The request is too large."),
    "not_json": Text(zh="请求内容须为 JSON。", en="The body must be JSON."),
    "timeout": Text(zh="请求超时。", en="The request took too long."),
    "login_taken": Text(zh="该用户名已被使用。", en="That user name is taken."),
    "password_too_short": Text(zh="密码太短。", en="The password is too short."),
    "no_such_user": Text(zh="没有这个用户。", en="There is no such user."),
    "no_such_site": Text(zh="没有这个单位。", en="There is no such site."),
    "last_admin": Text(
        zh="这是最后一个可用的顶级管理员，不能停用或降级。",
        en="This is the last administrator of the whole server; it can be neither disabled nor changed.",
    ),
    "no_settings_file": Text(
        zh="服务器启动时没有指定设置文件，只能查看。", en="The server was started without a settings file: look only."
    ),
    "not_writable": Text(zh="设置文件不可写。", en="The settings file cannot be written by the server."),
    "own_account": Text(
        zh="不能更改自己账号的角色、单位、状态或密码；修改密码请用“我的密码”。",
        en="Nobody changes role, site, state or password of the own account here; see “My password”.",
    ),
    "conflict": Text(zh="与现有数据冲突。", en="That conflicts with what is there already."),
    "muster_over": Text(zh="这次清点已经结束。", en="This muster is over."),
    "no_such_person": Text(zh="清点名单上没有这张卡。", en="That card is not on the list of this muster."),
    "no_such_list": Text(zh="没有这份清点名单。", en="There is no such list."),
    "no_such_phone": Text(zh="没有这部话机。", en="There is no such phone."),
    "phone_taken": Text(zh="该话机名已被使用。", en="That name of a phone is taken."),
    "no_such_call": Text(zh="没有这个通话，或已结束。", en="There is no such call, or it is over."),
    "phones_off": Text(zh="电话功能未启用。", en="Phones are switched off on this server."),
    "store_unavailable": Text(
        zh="数据库暂时不可用，请稍后再试。", en="The database is not available; try again shortly."
    ),
    "not_ready": Text(zh="服务器尚未就绪。", en="The server is not ready yet."),
}

STATUS: dict[str, int] = {
    "bad_request": 400, "bad_message": 400, "bad_version": 400, "not_json": 415, "invalid": 422, "too_large": 413,
    "timeout": 408, "sdp_invalid": 400, "no_common_codec": 406,
    "not_signed_in": 401, "token_invalid": 401, "token_expired": 401, "revoked": 401, "wrong_login": 401,
    "not_allowed": 403, "foreign_origin": 403,
    "not_found": 404, "no_such_room": 404, "no_such_track": 404, "no_such_order": 404, "no_such_user": 404,
    "no_such_phone": 404, "no_such_call": 404, "phone_taken": 409, "phones_off": 503,
    "no_such_person": 404, "no_such_list": 404,
    "link_invalid": 404, "method_not_allowed": 405,
    "conflict": 409, "stale": 409, "session_over": 409, "muster_over": 409, "login_taken": 409, "not_in_room": 409,
    "password_too_short": 422, "no_such_site": 422, "last_admin": 409, "own_account": 409,
    "no_settings_file": 409, "not_writable": 409,
    "locked": 409, "floor_taken": 409, "removed": 409,
    "too_fast": 429, "too_many_attempts": 429,
    "internal": 500, "capacity": 503, "media_down": 503, "shutting_down": 503, "store_unavailable": 503,
    "not_ready": 503,
}  # fmt: skip


class FieldProblem(BaseModel):
    """One value that is not valid. What was sent is not repeated."""

    model_config = ConfigDict(frozen=True)

    where: str
    why: str
    text: Text | None = None
    """`why` in both languages, where we have it."""


class ProblemBody(BaseModel):
    """What every refusal looks like (RFC 9457)."""

    model_config = ConfigDict(frozen=True)

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    error: str
    text: Text
    fields: tuple[FieldProblem, ...] = ()


class ApiProblem(Exception):
    """Raised by a handler to refuse. `error` is one of `STATUS`; `detail` is a sentence in English, free of secrets."""

    def __init__(
        self,
        error: str,
        detail: str = "",
        *,
        status: int | None = None,
        fields: tuple[FieldProblem, ...] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self.error = error
        self.status = status or STATUS[error]
        self.detail = detail or TEXTS[error].en
        self.fields = fields
        self.headers = dict(headers or {})
        super().__init__(self.detail)

    def body(self) -> ProblemBody:
        return ProblemBody(
            title=HTTPStatus(self.status).phrase,
            status=self.status,
            detail=self.detail,
            error=self.error,
            text=TEXTS.get(self.error, TEXTS["internal"]),
            fields=self.fields,
        )

    def response(self) -> web.Response:
        body = self.body().model_dump(mode="json", exclude_defaults=False)
        if not self.fields:
            del body["fields"]
        for one in body.get("fields", ()):
            if one["text"] is None:
                del one["text"]
        headers = self.headers | ({"WWW-Authenticate": 'Bearer realm="lamproom"'} if self.status == 401 else {})
        return web.Response(
            text=json.dumps(body, ensure_ascii=False), status=self.status, content_type=CONTENT_TYPE, headers=headers
        )
