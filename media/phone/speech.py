"""What phones are told in words, in Chinese and English, spoken by the program espeak-ng where the machine has it.

Nothing spoken is shipped: words are rendered into files of 16 kHz, once for each version of them, and kept. Without the
program each prompt is the signal of `media.phone.tones`; a recording of the user's goes before both. Chinese is
handed over in pinyin, so that no character is left to be read in another way than it is meant.
"""

import logging
import os
import shutil
import subprocess
import tempfile
import time
import wave
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Literal

import numpy as np
from av import AudioFrame, AudioResampler

from media.phone.audio import FULL_SCALE, Samples, frame_samples, level, soft_clip, to_int16

log = logging.getLogger(__name__)

PROGRAM = "espeak-ng"
RATE = 16000
SPOKEN_DBOV = -20.0
"""Of the words, without the pauses between them."""
BUDGET_S = 8.0
"""For all words together; what is not rendered in this time is a signal until the next start."""
ONE_S = 5.0
PAD_S = 0.08
_QUIET_DBOV = -50.0
_VOICES: Mapping[str, tuple[str, ...]] = {
    "zh": ("-v", "cmn-latn-pinyin", "-s", "165"),
    "en": ("-v", "en-gb", "-s", "155"),
}
Language = Literal["zh", "en"]


@dataclass(frozen=True, slots=True)
class Words:
    """One prompt."""

    zh: str
    pinyin: str
    """What is said for `zh`: syllables with the number of their tone."""
    en: str

    def said(self, language: Language) -> str:
        return self.pinyin if language == "zh" else self.en


WORDS: Mapping[str, Words] = {
    "enter-pin": Words(
        "请输入六位会商号码。",
        "qing3 shu1ru4 liu4 wei4, hui4shang1 hao4ma3.",
        "Please enter the six digits of the consultation.",
    ),
    "wrong-pin": Words("号码不对。", "hao4ma3 bu2 dui4.", "That number is not right."),
    "pin-ok": Words(
        "正在加入会商。", "zheng4zai4 jia1ru4 hui4shang1.", "You are now joining the consultation."
    ),
    "drill": Words("这是演练。", "zhe4 shi4 yan3lian4.", "This is a drill."),
    "menu-alert": Words(
        "煤矿报警。由我处理，请按一。呼叫下一位，请按二。",
        "mei2kuang4 bao4jing3. you2 wo3 chu3li3, qing3 an4 yi1. hu1jiao4 xia4 yi2 wei4, qing3 an4 er4.",
        "Mine alert. Press 1: I have it. Press 2: call the next.",
    ),
    "accepted": Words("已记录，由您处理。", "yi3 ji4lu4, you2 nin2 chu3li3.", "Noted. You have it."),
    "next": Words("将呼叫下一位。", "jiang1 hu1jiao4 xia4 yi2 wei4.", "The next one will be called."),
    "muted": Words("您已被静音。", "nin2 yi3 bei4 jing4yin1.", "You are muted."),
    "unmuted": Words("静音已解除。", "jing4yin1 yi3 jie3chu2.", "You are no longer muted."),
    "alone": Words(
        "会商中暂时没有其他人。", "hui4shang1 zhong1, zan4shi2 mei2you3 qi2ta1 ren2.", "Nobody else is here yet."
    ),
    "hold": Words(
        "通话保持中，请稍候。", "tong1hua4 bao3chi2 zhong1, qing3 shao1hou4.", "You are on hold. Please wait."
    ),
    "waiting": Words(
        "会商已锁定，请等候准入。", "hui4shang1 yi3 suo3ding4, qing3 deng3hou4 zhun3ru4.",
        "The consultation is locked. Please wait to be let in.",
    ),
    "goodbye": Words("通话结束，再见。", "tong1hua4 jie2shu4, zai4jian4.", "The call ends here. Goodbye."),
    "error": Words(
        "出错了，请重新拨打。", "chu1cuo4 le5, qing3 chong2xin1 bo1da3.", "Something went wrong. Please call again."
    ),
}  # fmt: skip
"""Short: whoever listens wants to speak."""


def available() -> bool:
    """Whether this machine can speak."""
    return shutil.which(PROGRAM) is not None


def folder_of(cache: Path) -> Path:
    """Where the files of these words are; other words or another way of speaking get another folder."""
    said = repr((sorted(WORDS.items()), sorted(_VOICES.items()), RATE, SPOKEN_DBOV))
    return cache / sha256(said.encode()).hexdigest()[:16]


def render(cache: Path, budget_s: float = BUDGET_S) -> Path | None:
    """Speak what is not in the cache yet, and take out what other versions left; the folder with
    `{language}/{name}.wav`. None: nothing can be kept there, or the machine cannot speak and never did. Blocks."""
    folder, deadline = folder_of(cache), time.monotonic() + budget_s
    if not available():
        return folder if folder.is_dir() else None
    try:
        for language in ("zh", "en"):
            (folder / language).mkdir(parents=True, exist_ok=True)
        for name, words in WORDS.items():
            for language in _VOICES:
                path = folder / language / f"{name}.wav"
                if path.exists():
                    continue
                if time.monotonic() > deadline:
                    log.warning("Prompts are not all spoken yet: the machine is too busy.")
                    return folder
                _write(path, spoken(words.said(language), language))  # type: ignore[arg-type]
        for other in cache.iterdir():
            if other != folder:
                shutil.rmtree(other, ignore_errors=True)
    except (OSError, subprocess.SubprocessError, ValueError, EOFError, wave.Error) as error:
        log.warning("Prompts are signals, %s did not speak them: %s", PROGRAM, error)
        return folder if folder.is_dir() else None
    return folder


def spoken(text: str, language: Language) -> Samples:
    """Words at `RATE`, loud enough and without silence around them.

    Raises:
        OSError, SubprocessError, ValueError, EOFError, wave.Error: the program is missing or did not do it.
    """
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "said.wav"
        command = [PROGRAM, *_VOICES[language], "-b", "1", "-w", str(path), text]
        subprocess.run(command, check=True, timeout=ONE_S, capture_output=True, stdin=subprocess.DEVNULL)
        with wave.open(str(path), "rb") as file:
            if file.getsampwidth() != 2 or file.getnchannels() != 1:
                raise ValueError("it does not speak 16-bit PCM")
            said, rate = np.frombuffer(file.readframes(file.getnframes()), "<i2"), file.getframerate()
    return levelled(_at_rate(said, rate))


def _at_rate(said: np.typing.NDArray[np.int16], rate: int) -> Samples:
    resampler = AudioResampler(format="s16", layout="mono", rate=RATE)
    frame = AudioFrame.from_ndarray(said.reshape(1, -1), format="s16", layout="mono")
    frame.sample_rate = rate
    frames = [*resampler.resample(frame), *resampler.resample(None)]
    if not frames:
        raise ValueError("it said nothing")
    return np.concatenate([each.to_ndarray().reshape(-1) for each in frames]).astype(np.float32)


def levelled(said: Samples) -> Samples:
    """Cut to where something is said, with its loud frames at `SPOKEN_DBOV`."""
    size = frame_samples(RATE)
    frames = said[: len(said) // size * size].reshape(-1, size)
    loud = [number for number, frame in enumerate(frames) if level(frame) > _QUIET_DBOV]
    if not loud:
        raise ValueError("it said nothing")
    mean = level(frames[loud].reshape(-1))
    cut = frames[loud[0] : loud[-1] + 1].reshape(-1)
    gain = min(10 ** ((SPOKEN_DBOV - mean) / 20), 0.97 * FULL_SCALE / max(1.0, float(np.abs(cut).max())) * 2)
    pad = np.zeros(round(PAD_S * RATE), np.float32)
    return np.concatenate((pad, soft_clip((cut * gain).astype(np.float32)), pad))


def _write(path: Path, samples: Samples) -> None:
    """Whole or not at all: another start may find it half written."""
    half = path.with_name(f".{path.stem}.{os.getpid()}.wav")
    try:
        with wave.open(str(half), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(RATE)
            file.writeframes(to_int16(samples).astype("<i2").tobytes())
        half.replace(path)
    finally:
        half.unlink(missing_ok=True)
