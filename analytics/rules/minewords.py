"""Titles of findings about people, machines that move, drainage, data and links, in Chinese and English."""

from analytics.finding import Change, Severity

WORDS: dict[str, tuple[str, str]] = {
    "over_quota": ("人数超过定员", "more people than the quota"),
    "count_mismatch": ("视频与定位人数不一致", "cameras and tags count differently"),
    "zone_entry": ("进入禁入区域", "entered a forbidden zone"),
    "dwell": ("井下停留超时", "underground for too long"),
    "zone_dwell": ("区域停留超时", "in this zone for too long"),
    "tag_lost": ("标识卡失联", "the tag is not heard any more"),
    "zone_silent": ("区域内标识卡同时失联", "all tags of this zone have fallen silent together"),
    "station_down": ("定位基站故障", "the reader is down"),
    "still": ("人员长时间静止", "has not moved for a long time"),
    "sos": ("人员求救", "calls for help"),
    "tag_carried": ("疑似一人携带多卡", "two tags seem to be carried by one person"),
    "gathering": ("人员聚集", "people gather"),
    "lone_worker": ("单人作业", "works alone"),
    "no_leader": ("井下无带班领导", "no leader is underground with the crew"),
    "displaced": ("停机设备发生位移", "moved while switched off"),
    "collision": ("车辆可能碰撞", "may collide"),
    "approach": ("车辆接近人员", "a machine drives at a person"),
    "person_near_machine": ("人员靠近运行设备", "a person is close to the running machine"),
    "reverse_travel": ("逆向行驶", "travels against the direction of the roadway"),
    "overspeed": ("超速", "too fast"),
    "runaway": ("疑似跑车", "seems to be running away downhill"),
    "out_of_route": ("偏离规定路线", "has left its route"),
    "mine_offline": ("与矿端联系中断", "nothing arrives from the mine"),
    "drainage_flow": ("排水不畅：流量偏低或水位上升", "pumps, and the water does not go down as it should"),
    "drainage_level": ("水位过高且水泵全停", "the water is too high and no pump is on"),
    "drainage_starts": ("水泵频繁启动", "starts too often"),
    "load_drift": ("负荷偏移", "its load has drifted"),
    "season": ("负荷与同时段历史不符", "its load is not what it is at this hour"),
    "data_replayed": ("数据疑似重放", "data seem to be sent a second time"),
    "energy_mismatch": ("电度与功率不符", "energy meter and power do not agree"),
    "video_over_quota": ("视频统计人数超过定员", "cameras count more people than the quota"),
    "video_intrusion": ("有人进入危险区域", "somebody is in the danger zone"),
    "belt_disagrees": ("皮带画面与电机状态不一致", "the belt's picture and its motor disagree"),
    "covert_running": ("疑似明停暗开", "seems to be producing although officially stopped"),
}
"""Every rule of a mine's board."""
_NEAR = ("接近禁入区域", "is coming close to a forbidden zone")
_FULL = ("接近定员", "close to the quota")


def title(rule: str, change: Change, severity: Severity, subject: tuple[str, str]) -> tuple[str, str]:
    """What a finding is called."""
    zh, en = WORDS[rule]
    if severity == "info":
        zh, en = {"zone_entry": _NEAR, "over_quota": _FULL}.get(rule, (zh, en))
    subject_zh, subject_en = subject
    if change == "cleared":
        return f"{subject_zh}：已恢复（{zh}）", f"{subject_en}: over ({en})"
    if change == "no_data":
        return f"{subject_zh}：{zh}，现无数据", f"{subject_en}: {en}, now no data"
    return f"{subject_zh}：{zh}", f"{subject_en}: {en}"
