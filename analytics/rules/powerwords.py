"""Titles of the power rules' findings in Chinese and English."""

from analytics.finding import Change, Severity
from config.settings import DeviceSettings

_WHAT: dict[str, tuple[str, str]] = {
    "main_fan_stop": ("主通风机停机", "the main fan has stopped"),
    "supply_loss": ("变电站失电", "the substation has lost its supply"),
    "phase_loss": ("缺相", "a phase is lost"),
    "overload": ("过负荷", "overload"),
    "under_voltage": ("欠电压", "under-voltage"),
    "over_voltage": ("过电压", "over-voltage"),
    "voltage_unbalance": ("电压不平衡", "voltages are unbalanced"),
    "current_unbalance": ("电流不平衡", "currents are unbalanced"),
    "stuck_data": ("数据卡死，运行中数值长时间不变", "values of a running machine do not change"),
    "source_time_stuck": ("数据时间不前进或时钟偏差过大", "the data's time stands still or is far off"),
    "telemetry_gap": ("遥测中断，状态未知", "no telemetry, its state is unknown"),
}
"""Every power rule."""


def device_title(device: DeviceSettings, rule: str, change: Change, severity: Severity) -> tuple[str, str]:
    """What a finding about a device is called."""
    name_zh, name_en = device.name_zh or device.device, device.name_en or device.device
    zh, en = _WHAT[rule]
    if rule == "main_fan_stop" and severity == "critical":
        zh, en = "主通风机停机超时且无备用风机运行", "the main fan has stopped and no other fan has started in time"
    if change == "cleared":
        return f"{name_zh}：已恢复（{zh}）", f"{name_en}: over ({en})"
    if change == "no_data":
        return f"{name_zh}：{zh}，现无数据", f"{name_en}: {en}, now no data"
    return f"{name_zh}：{zh}", f"{name_en}: {en}"
