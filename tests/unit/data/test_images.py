"""Images in folders, archives and arrays."""

from __future__ import annotations

import io
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nshot.core import DataError, TaskKind
from nshot.data.equal import equal_images
from nshot.data.images import ImageFiles
from nshot.data.options import ReadOptions
from nshot.data.reading import read, stream_inputs


def picture(seed: int, form: str = "PNG") -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (6, 5, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, form)
    return file.getvalue()


def folder(root: Path, names: list[str]) -> Path:
    for i, name in enumerate(names):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(picture(i, "JPEG" if name.endswith("jpg") else "PNG"))
    return root


def archive(path: Path, names: list[str]) -> Path:
    with zipfile.ZipFile(path, "w") as opened:
        for i, name in enumerate(names):
            opened.writestr(name, picture(i))
    return path


NAMES = ["ants/1.png", "ants/2.png", "bees/3.png", "bees/4.png"]


@pytest.mark.parametrize("kind", ["folder", "zip"])
def test_the_folder_of_an_image_is_its_label(tmp_path, kind):
    path = folder(tmp_path / "a", NAMES) if kind == "folder" else archive(tmp_path / "a.zip", NAMES)
    found = read(path)
    assert found.format == kind
    assert found.dataset.modality == "image"
    assert list(found.dataset.targets) == ["ants", "ants", "bees", "bees"]
    assert found.task.labels == ("ants", "bees")
    assert list(found.dataset.examples) == [picture(i) for i in range(4)]
    assert list(found.column("file")) == NAMES


def test_labels_are_named_from_the_folder_that_all_images_are_in(tmp_path):
    deep = archive(
        tmp_path / "a.zip", ["set/Latin/a/1.png", "set/Latin/b/2.png", "set/Greek/a/3.png", "set/Greek/a/4.png"]
    )
    assert read(deep).task.labels == ("Greek/a", "Latin/a", "Latin/b")


def test_images_are_read_when_asked_for_and_can_be_sent_to_another_process(tmp_path):
    images = read(archive(tmp_path / "a.zip", NAMES)).dataset.examples
    assert isinstance(images, ImageFiles)
    assert images[2] == picture(2)
    assert images[-1] == picture(3)
    assert list(pickle.loads(pickle.dumps(images[1:3]))) == [picture(1), picture(2)]
    assert list(images.take([3, 0])) == [picture(3), picture(0)]
    (tmp_path / "a.zip").unlink()
    with pytest.raises(DataError, match=r"ants/1\.png"):
        pickle.loads(pickle.dumps(images))[0]


def test_files_that_are_no_images_are_left_out_and_kept_by_name(tmp_path):
    root = folder(tmp_path / "a", NAMES)
    (root / "ants" / "0.png").write_bytes(b"not an image")
    (root / "ants" / "notes.txt").write_text("not a label")
    (root / "ants" / ".hidden.png").write_bytes(b"thumbnail")
    found = read(root)
    assert found.broken_images == ("ants/0.png",)
    assert len(found.dataset) == 4


def test_without_folders_there_are_no_labels_and_the_message_says_what_can_be_done(tmp_path):
    flat = folder(tmp_path / "a", ["1.png", "2.jpg"])
    with pytest.raises(DataError, match="Expected a folder per label"):
        read(flat)
    found = read(flat, ReadOptions(task="compress"))
    assert (len(found.dataset), len(found.unlabelled), found.task.kind) == (0, 2, TaskKind.COMPRESS)


def test_a_folder_of_training_and_test_says_how_to_name_them(tmp_path):
    root = folder(tmp_path / "a", ["train/x/1.png", "train/y/2.png", "val/x/3.png"])
    with pytest.raises(DataError, match=r"a/train --test .*a/val"):
        read(root)
    train = read(root / "train")
    test = read(folder(tmp_path / "b", ["x/1.png", "y/2.png"]), like=train)
    assert test.task is train.task


def test_a_folder_of_texts_stays_one_of_texts(tmp_path):
    for label in ("pos", "neg"):
        (tmp_path / label).mkdir()
        for i in range(3):
            (tmp_path / label / f"{i}.txt").write_text(f"a text of {label} {i}")
    (tmp_path / "pos" / "logo.png").write_bytes(picture(0))
    assert read(tmp_path).dataset.modality == "text"


@pytest.mark.parametrize(("content", "part"), [(b"PK\x03\x04 broken", "no readable zip"), (b"", "is empty")])
def test_a_damaged_archive_is_refused(tmp_path, content, part):
    path = tmp_path / "a.zip"
    path.write_bytes(content)
    with pytest.raises(DataError, match=part):
        read(path)


def test_arrays_of_pixels_are_images_and_a_test_takes_the_test_arrays(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (6, 4, 4), dtype=np.uint8)
    path = tmp_path / "x.npz"
    labels = np.array([[0], [1]] * 3)
    np.savez(path, train_images=pixels, train_labels=labels, test_images=pixels[:2, ..., None], test_labels=[1, 0])
    train = read(path)
    test = read(path, like=train)
    assert train.dataset.examples[3].tolist() == pixels[3].tolist()
    assert list(train.dataset.targets) == ["0", "1"] * 3
    assert test.dataset.examples[0].shape == (4, 4)
    assert list(test.dataset.targets) == ["1", "0"]
    assert "array train_images with train_labels (not test_images, test_labels)" in train.recognised


def test_images_are_streamed_to_be_answered(tmp_path):
    stream = stream_inputs(folder(tmp_path / "a", NAMES), batch_rows=3)
    batches = list(stream.batches)
    assert [len(batch) for batch in batches] == [3, 1]
    assert batches[1].examples[0] == picture(3)
    one = next(stream_inputs(tmp_path / "a" / "bees" / "3.png").batches)
    assert list(one.examples) == [picture(2)]


def test_equal_images_have_one_id():
    pixels = np.zeros((2, 2), np.uint8)
    assert equal_images([picture(1), picture(2), picture(1)]).tolist() == [0, 1, 0]
    assert equal_images([pixels, pixels + 1, pixels.reshape(1, 4), pixels.copy()]).tolist() == [0, 1, 2, 0]


def test_large_arrays_that_differ_in_the_middle_have_another_fingerprint():
    from nshot.core import Dataset

    one = np.zeros((64, 64), np.uint8)
    other = one.copy()
    other[32, 32] = 1
    prints = {Dataset([image], modality="image").fingerprint for image in (one, other, one.reshape(128, 32))}
    assert len(prints) == 3


def test_photographs_and_characters(shared_data):
    photographs = shared_data / "images/ants_bees"
    train = read(photographs / "train")
    test = read(photographs / "val", like=train)
    assert (train.task.labels, len(test.dataset)) == (("ants", "bees"), 153)
    characters = read(shared_data / "images/omniglot/images_background_small1.zip")
    assert (len(characters.dataset), len(characters.task.labels)) == (2720, 136)
    chests = read(shared_data / "images/pneumonia_subset/pneumoniamnist.npz")
    assert (len(chests.dataset), chests.dataset.examples[0].shape) == (2428, (28, 28))
