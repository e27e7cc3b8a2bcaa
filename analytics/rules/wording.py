"""Titles of findings in Chinese and English."""

from analytics.finding import Change
from config.settings import DutyPostSettings

_PICTURES = {
    "none": ("没有画面", "no picture"),
    "dark": ("画面过暗", "the picture is too dark"),
    "overexposed": ("画面过亮", "the picture is overexposed"),
    "frozen": ("画面冻结", "the picture is frozen"),
    "blocked": ("镜头被遮挡", "the lens is covered"),
    "moved": ("摄像机被挪动", "the camera was moved"),
    "blurred": ("画面模糊", "the picture is blurred"),
    "shaking": ("画面抖动", "the picture shakes"),
}


def duration(seconds: float) -> tuple[str, str]:
    """A length of time in words: seconds below two minutes, else minutes (rounded down)."""
    if seconds < 120:
        return f"{int(seconds)} 秒", f"{int(seconds)} s"
    return f"{int(seconds // 60)} 分钟", f"{int(seconds // 60)} min"


_CHALLENGES = {
    "unanswered": ("，应答呼叫无人应答", ", the call to the desk was not answered"),
    "no_page": ("，岗位无在线终端可呼叫", ", no page at the desk to call"),
}


def post_title(
    settings: DutyPostSettings, change: Change, absent_s: float, duration_s: object, ended: object, challenge: str
) -> tuple[str, str]:
    """The title of an absence finding."""
    post_zh, post_en = settings.name_zh, settings.name_en
    if change == "cleared":
        zh, en = duration(float(duration_s) if isinstance(duration_s, float) else absent_s)
        if ended == "answered":
            return (
                f"{post_zh}：{zh}未见人员，但已应答呼叫，请检查摄像头位置",
                f"{post_en}: nobody seen for {en}, but the call to the desk was answered; check the camera's view",
            )
        return f"{post_zh}：人员已返岗，空岗 {zh}", f"{post_en}: back at the post after {en}"
    zh, en = duration(absent_s)
    if change == "no_data":
        return f"{post_zh}：空岗 {zh}，现无可用画面", f"{post_en}: unmanned for {en}, now no usable picture"
    end_zh, end_en = _CHALLENGES.get(challenge, ("", ""))
    return f"{post_zh}：空岗已 {zh}{end_zh}", f"{post_en}: unmanned for {en}{end_en}"


def sleep_title(
    settings: DutyPostSettings, change: Change, asleep_s: float, duration_s: object, ended: object, challenge: str
) -> tuple[str, str]:
    """The title of a sleeping finding."""
    post_zh, post_en = settings.name_zh, settings.name_en
    if change == "cleared":
        zh, en = duration(float(duration_s) if isinstance(duration_s, float) else asleep_s)
        end_zh, end_en = {
            "answered": ("已应答呼叫", "the call to the desk was answered"),
            "away": ("人员已离开画面", "nobody to be seen any more"),
        }.get(str(ended), ("人员已清醒", "awake again"))
        return f"{post_zh}：{end_zh}，疑似睡岗 {zh}", f"{post_en}: {end_en} after {en} of sleep"
    zh, en = duration(asleep_s)
    if change == "no_data":
        return f"{post_zh}：疑似睡岗 {zh}，现无可用画面", f"{post_en}: asleep for {en}, now no usable picture"
    end_zh, end_en = _CHALLENGES.get(challenge, ("", ""))
    return f"{post_zh}：疑似睡岗已 {zh}{end_zh}", f"{post_en}: apparently asleep for {en}{end_en}"


def camera_fault_title(settings: DutyPostSettings, picture: str, *, cleared: bool = False) -> tuple[str, str]:
    """The title of a camera fault."""
    if cleared:
        return f"{settings.name_zh}：摄像头画面已恢复", f"{settings.name_en}: the camera's picture is back"
    zh, en = _PICTURES.get(picture, _PICTURES["none"])
    return f"{settings.name_zh}：摄像头故障，{zh}", f"{settings.name_en}: camera fault, {en}"


def resolution_title(
    camera: str, size: tuple[int, int], wanted: tuple[int, int], *, cleared: bool = False
) -> tuple[str, str]:  # fmt: skip
    """The title of a picture of another size than the registered one."""
    if cleared:
        return f"{camera}：分辨率已恢复", f"{camera}: the resolution is right again"
    is_, set_ = f"{size[0]}×{size[1]}", f"{wanted[0]}×{wanted[1]}"
    return f"{camera}：分辨率为 {is_}，登记为 {set_}", f"{camera}: sends {is_}, registered is {set_}"


def detector_blind_title(settings: DutyPostSettings, *, cleared: bool = False) -> tuple[str, str]:
    """The title of a detector that cannot see."""
    if cleared:
        return f"{settings.name_zh}：智能识别已恢复", f"{settings.name_en}: the detector is working again"
    return f"{settings.name_zh}：智能识别失效，岗位状态未知", f"{settings.name_en}: the detector is down, state unknown"
