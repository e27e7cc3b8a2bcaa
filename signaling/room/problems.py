"""Every error a client may be told: a stable id, and the sentence for people in both languages."""

from signaling.room.messages import Text

PROBLEMS: dict[str, Text] = {
    "bad_message": Text(zh="收到的消息格式不正确，已忽略。", en="That message was not understood and was ignored."),
    "bad_version": Text(zh="页面版本与服务器不一致，请刷新页面。", en="This page is out of date; please reload it."),
    "hello_first": Text(zh="连接后须先报到。", en="A connection must introduce itself first."),
    "token_invalid": Text(zh="通行凭证无效，请重新登录。", en="The token is not valid; please log in again."),
    "token_expired": Text(zh="通行凭证已过期，请重新登录。", en="The token has expired; please log in again."),
    "revoked": Text(zh="您的访问权限已被收回。", en="Your access has been revoked."),
    "not_allowed": Text(zh="您没有此项权限。", en="You are not allowed to do that."),
    "no_such_room": Text(zh="没有这个房间，或您无权进入。", en="There is no such room, or you may not enter it."),
    "not_in_room": Text(zh="您不在这个房间里。", en="You are not in that room."),
    "no_such_track": Text(zh="该画面已经不在了。", en="That picture is no longer there."),
    "no_such_order": Text(zh="没有这条指令。", en="There is no such order."),
    "session_over": Text(zh="会商已经结束。", en="The consultation has ended."),
    "sdp_invalid": Text(zh="浏览器的媒体描述无法识别。", en="The browser's media offer was not understood."),
    "no_common_codec": Text(zh="浏览器不支持该画面的编码格式。", en="This browser cannot decode that codec."),
    "capacity": Text(zh="服务器已达到连接上限，请稍后再试。", en="The server is full; please try again shortly."),
    "stale": Text(zh="该操作已过时，已按最新状态处理。", en="That was overtaken by something newer."),
    "too_fast": Text(zh="操作过于频繁，请稍候。", en="Too many requests; please slow down."),
    "too_slow": Text(zh="网络跟不上，连接已断开并将自动重连。", en="The link could not keep up and will reconnect."),
    "silent": Text(zh="长时间没有收到心跳，连接已断开。", en="Silent for too long; the link was closed."),
    "media_down": Text(
        zh="媒体服务正在重启，画面将自动恢复。", en="The media service is restarting; pictures come back by themselves."
    ),
    "shutting_down": Text(zh="服务器正在重启，将自动重连。", en="The server is restarting; reconnecting soon."),
    "replaced": Text(zh="此页面已在另一处恢复连接。", en="This client was taken up by another connection."),
    "locked": Text(
        zh="会商已锁定或需要主持人同意，已代您敲门，请稍候。",
        en="The consultation is locked or you need leave; we have knocked for you, please wait.",
    ),
    "floor_taken": Text(zh="正有人发言，请稍候。", en="Somebody has the floor; please wait."),
    "removed": Text(zh="主持人已将您移出。", en="A moderator has removed you."),
    "internal": Text(zh="服务器内部错误，已记录。", en="The server had an internal error; it has been logged."),
    # Why media does not flow (`MediaState.reason`, refused tracks, quality reasons).
    "ice_timeout": Text(
        zh="媒体连接不通：媒体端口的 UDP 和 TCP 都可能被防火墙拦截。",
        en="No media path: a firewall may block the media port, UDP and TCP alike.",
    ),
    "consent_lost": Text(zh="媒体连接中断：对方不再应答。", en="The media path was lost: no more answers."),
    "dtls_failed": Text(zh="媒体加密握手失败。", en="The media encryption handshake failed."),
    "fingerprint_mismatch": Text(zh="媒体加密证书不符，已拒绝。", en="The media certificate does not match."),
    "closed_by_peer": Text(zh="对方已关闭媒体连接。", en="The other side closed the media path."),
    "closed": Text(zh="媒体连接已关闭。", en="The media path was closed."),
    "no_packets": Text(zh="没有收到画面数据。", en="No picture data is arriving."),
    "bandwidth": Text(zh="当前线路带宽不足，暂不传送此画面。", en="The line is too thin for this picture now."),
    "hidden": Text(zh="未显示，暂不传送。", en="Not shown, so not sent."),
    "no_keyframe": Text(zh="正在等待关键帧。", en="Waiting for a key frame."),
    "loss": Text(zh="网络丢包，画面可能卡顿。", en="Packets are being lost; the picture may freeze."),
    "jitter": Text(zh="网络抖动较大。", en="The network delay varies a lot."),
    "rtt": Text(zh="网络时延较大。", en="The network delay is high."),
}


def text(error: str) -> Text:
    """The sentence for an id; an unknown id gets the internal one."""
    return PROBLEMS.get(error, PROBLEMS["internal"])
