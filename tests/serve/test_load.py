"""Many uploads at once, and uploads that are made to harm: nothing is lost, nothing breaks, memory stays bounded."""

from __future__ import annotations

import struct
import time
import zlib
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path

import cv2
import httpx
import numpy as np
import pytest
import tifffile

from served import serving

MB = 1_000_000
REFUSALS = {400, 408, 411, 413, 415, 422}


def resident(process: int) -> int:
    """Bytes in memory of a process and those that it has started; 0 where the system does not say."""
    total = 0
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
            if process in (int(folder.name), int(fields[1])):
                total += int((folder / "statm").read_text().split()[1]) * 4096
        except (OSError, ValueError, IndexError):  # it has ended
            continue
    return total


def patient(client, content, name):
    """The answer to an upload, which is sent again while the server is busy, and how often it was."""
    for times in range(1000):
        answer = client.post("images", params={"name": name}, content=content)
        if answer.status_code != 429:
            return answer, times
        time.sleep(float(answer.headers["retry-after"]) * 0.2)
    raise AssertionError(answer.text)


def upload_together(tmp_path, count, side, *words):
    """Upload images at the same moment: all answers, and the most bytes that the server had in memory."""
    rng = np.random.default_rng(1)
    files = [cv2.imencode(".png", rng.integers(0, 65535, (side, side + k), np.uint16))[1].tobytes() for k in range(8)]
    with serving(*words, folder=tmp_path) as server:
        limits = httpx.Limits(max_connections=count)
        with httpx.Client(base_url=server.address + "api/v1/", limits=limits, timeout=300) as client:
            client.post("images", content=files[0])  # all libraries are loaded
            before = resident(server.process.pid)
            with ThreadPoolExecutor(count) as pool:
                coming = [pool.submit(patient, client, files[k % 8], f"{k}.png") for k in range(count)]
                most = before
                while not all(each.done() for each in coming):
                    most = max(most, resident(server.process.pid))
                    time.sleep(0.05)
            answers = [each.result() for each in coming]
            ids = {answer.json()["id"]: k for k, (answer, _) in enumerate(answers)}
            for key, k in ids.items():
                about = client.get(f"images/{key}").json()
                assert (about["name"], about["width"]) == (f"{k}.png", side + k % 8)
                assert client.get(f"images/{key}/thumbnail").status_code == 200
    return answers, most - before


def test_uploads_at_once_are_all_kept(tmp_path):
    answers, _ = upload_together(tmp_path, 40, 200)
    assert [answer.status_code for answer, _ in answers] == [201] * 40


@pytest.mark.slow  # a minute
def test_200_uploads_at_once_are_all_kept_in_bounded_memory(tmp_path):
    answers, grown = upload_together(tmp_path, 200, 1500, "--rate_per_min", "4000")
    assert [answer.status_code for answer, _ in answers] == [201] * 200
    assert grown < 300 * MB  # the images together have 900 MB


# ---- uploads that are made to harm


def sound_files():
    """Small files of all kinds that are taken."""
    rng = np.random.default_rng(0)
    gray, color = rng.integers(0, 255, (24, 30), np.uint8), rng.integers(0, 255, (24, 30, 3), np.uint8)
    files = [cv2.imencode(ending, image)[1].tobytes() for ending in (".png", ".jpg") for image in (gray, color)]
    files.append(cv2.imencode(".png", gray.astype(np.uint16) * 200)[1].tobytes())
    kinds = [
        {}, {"compression": "zlib"}, {"compression": "lzw"}, {"compression": "jpeg"}, {"tile": (16, 16)},
        {"bigtiff": True}, {"ome": True, "metadata": {"axes": "YX"}}, {"imagej": True}, {"compression": "zstd"},
        {"compression": "jpeg2000"}, {"compression": "packbits"}, {"compression": "lzma"}, {"compression": "webp"},
    ]  # fmt: skip
    for kind in kinds:
        file = BytesIO()
        image = color if kind.get("compression") == "webp" else gray
        tifffile.imwrite(file, image, photometric="rgb" if image.ndim == 3 else "minisblack", **kind)
        files.append(file.getvalue())
    return files


def bombs():
    """Files that claim much more than they hold."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    def png(width, height, data):
        head = struct.pack(">IIBBBBB", width, height, 16, 6, 0, 0, 0)
        return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", data) + chunk(b"IEND", b"")

    zeros = zlib.compress(bytes(40 * MB))
    yield png(30_000, 30_000, zeros)
    yield png(2**31 - 1, 2**31 - 1, b"x")
    yield png(0, 0, b"")
    for compression in ("zlib", "lzma", "zstd"):
        file = BytesIO()
        tifffile.imwrite(file, np.zeros((8000, 8000), np.uint8), compression=compression)
        yield file.getvalue()
    jpeg = bytearray(cv2.imencode(".jpg", np.zeros((8, 8), np.uint8))[1].tobytes())
    place = jpeg.find(b"\xff\xc0")
    jpeg[place + 5 : place + 9] = b"\xff\xff\xff\xff"
    yield bytes(jpeg)
    xml = '<OME><Image><Pixels SizeX="30" SizeY="24" SizeC="1" SizeZ="1" SizeT="1" Type="uint8" DimensionOrder="XYZCT">'
    elsewhere = xml + '<TiffData IFD="0"><UUID FileName="../../../../etc/passwd">urn:uuid:1</UUID></TiffData></Pixels>'
    laughs = '<!DOCTYPE l [<!ENTITY a "' + "ha" * 500 + '">' + "".join(
        f'<!ENTITY {chr(98 + k)} "{f"&{chr(97 + k)};" * 20}">' for k in range(8)
    )  # fmt: skip
    for text in (elsewhere + "</Image></OME>", laughs + "]><OME>&i;</OME>"):
        file = BytesIO()
        tifffile.imwrite(file, np.zeros((24, 30), np.uint8), description=text.encode(), metadata=None)
        yield file.getvalue()


NAMES = (
    "../../etc/passwd", "/etc/shadow", "..\\..\\a.tif", "a\0b.png", "é" * 900, "", ".", "..", "con", "a/b/../c.tif",
    "<script>alert(1)</script>.png", "%2e%2e%2f", "a" * 999, "image.npy", "\u202egnp.exe", "$(reboot).tif",
)  # fmt: skip


def hostile(count):
    """Files that are cut, changed, stretched and joined, and bombs."""
    rng = np.random.default_rng(7)
    sound, made = sound_files(), list(bombs())
    yield from made
    for k in range(count - len(made)):
        data = bytearray(sound[k % len(sound)])
        kind = rng.integers(7)
        if kind == 0:
            del data[int(rng.integers(len(data))) :]
        elif kind == 1:
            for _ in range(int(rng.integers(1, 30))):
                data[int(rng.integers(len(data)))] = int(rng.integers(256))
        elif kind == 2:  # numbers of headers
            place = int(rng.integers(min(len(data) - 4, 400)))
            worst = (0, 1, 0xFFFFFFFF, 0x7FFFFFFF, 0x80000000, 65535)
            struct.pack_into("<I" if rng.integers(2) else ">I", data, place, worst[int(rng.integers(6))])
        elif kind == 3:
            place = int(rng.integers(len(data)))
            data[place:place] = bytes(rng.integers(0, 256, int(rng.integers(1, 200)), np.uint8))
        elif kind == 4:
            other = sound[int(rng.integers(len(sound)))]
            data = data[: int(rng.integers(8, len(data)))] + other[int(rng.integers(len(other))) :]
        elif kind == 5:
            place = int(rng.integers(len(data)))
            data[place : place + int(rng.integers(1, 100))] = b"\xff" * int(rng.integers(1, 100))
        else:
            data = data[:8] + bytes(rng.integers(0, 256, int(rng.integers(0, 4000)), np.uint8))
        yield bytes(data)


def attack(tmp_path, count):
    """Upload hostile files: the states of the answers, and the most bytes that the server had in memory."""
    words = ("--rate_per_min", "1000000", "--image_mp", "20", "--upload_mb", "5")
    with serving(*words, folder=tmp_path) as server:
        with httpx.Client(base_url=server.address + "api/v1/", timeout=120) as client:

            def send(number, content):
                name = NAMES[number % len(NAMES)]
                answer, _ = patient(client, content, name)
                if answer.status_code == 201:
                    shown = answer.json()["name"]
                    assert "/" not in shown
                    assert "\\" not in shown
                    assert client.delete(f"images/{answer.json()['id']}").status_code == 204
                else:
                    assert answer.status_code in REFUSALS, (number, answer.status_code, answer.text)
                    assert answer.json()["error"]
                    assert str(tmp_path) not in answer.text
                    assert "root:" not in answer.text
                return answer.status_code

            with ThreadPoolExecutor(8) as pool:
                coming = [pool.submit(send, k, content) for k, content in enumerate(hostile(count))]
                most = 0
                while not all(each.done() for each in coming):
                    most = max(most, resident(server.process.pid))
                    time.sleep(0.1)
            states = [each.result() for each in coming]
            assert client.get("about").status_code == 200
        assert server.process.poll() is None
        assert len(server.kept) == 0, server.kept
        assert "Traceback" not in "".join(server.lines)
    return states, most


def test_hostile_uploads_are_refused_and_break_nothing(tmp_path):
    states, most = attack(tmp_path, 60)
    assert set(states) <= REFUSALS | {201}
    assert most < 2500 * MB


@pytest.mark.slow  # minutes
def test_2000_hostile_uploads_are_refused_and_break_nothing(tmp_path):
    states, most = attack(tmp_path, 2000)
    assert set(states) <= REFUSALS | {201}
    assert states.count(201) < 1500
    assert most < 2500 * MB
