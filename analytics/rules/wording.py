"""Titles of findings in Chinese and English."""

from analytics.finding import Change
from config.settings import DutyPostSettings

_PICTURES = {
    "none": ("没有画面", "no picture"),
    "dark": ("画面过暗", "the picture is too dark"),
    "overexposed": ("画面过亮", "the picture is overexposed"),
    "frozen": ("画面冻结", "the picture is frozen"),
    "blocked": ("镜头被遮挡", "the lens is covered"),
}


def duration(seconds: float) -> tuple[str, str]:
    """A length of time in words: seconds below two minutes, else minutes (rounded down)."""
    if seconds < 120:
        return f"{int(seconds)} 秒", f"{int(seconds)} s"
    return f"{int(seconds // 60)} 分钟", f"{int(seconds // 60)} min"


def post_title(settings: DutyPostSettings, change: Change, absent_s: float, duration_s: object) -> tuple[str, str]:
    """The title of an absence finding."""
    post_zh, post_en = settings.name_zh, settings.name_en
    if change == "cleared":
        zh, en = duration(float(duration_s) if isinstance(duration_s, float) else absent_s)
        return f"{post_zh}：人员已返岗，空岗 {zh}", f"{post_en}: back at the post after {en}"
    zh, en = duration(absent_s)
    if change == "no_data":
        return f"{post_zh}：空岗 {zh}，现无可用画面", f"{post_en}: unmanned for {en}, now no usable picture"
    return f"{post_zh}：空岗已 {zh}", f"{post_en}: unmanned for {en}"


def camera_fault_title(settings: DutyPostSettings, picture: str, *, cleared: bool = False) -> tuple[str, str]:
    """The title of a camera fault."""
    if cleared:
        return f"{settings.name_zh}：摄像头画面已恢复", f"{settings.name_en}: the camera's picture is back"
    zh, en = _PICTURES.get(picture, _PICTURES["none"])
    return f"{settings.name_zh}：摄像头故障，{zh}", f"{settings.name_en}: camera fault, {en}"


def detector_blind_title(settings: DutyPostSettings, *, cleared: bool = False) -> tuple[str, str]:
    """The title of a detector that cannot see."""
    if cleared:
        return f"{settings.name_zh}：智能识别已恢复", f"{settings.name_en}: the detector is working again"
    return f"{settings.name_zh}：智能识别失效，岗位状态未知", f"{settings.name_en}: the detector is down, state unknown"
