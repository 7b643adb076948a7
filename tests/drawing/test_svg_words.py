"""Labels in the SVG: the label is drawn and nothing else."""

from xml.etree import ElementTree as ET

import numpy as np

import tinygrad_rnn as tg


def test_a_label_made_of_parts_has_no_white_space_between_them():
    run = tg.unroll(tg.ElmanCell(2, 3, rng=0), np.ones((2, 1, 2)))
    root = ET.fromstring(tg.draw(run.state.sum()).svg)
    labels = ["".join(text.itertext()) for text in root.iter("{http://www.w3.org/2000/svg}text")]
    assert "s1" in labels
    assert not [label for label in labels if label != label.strip() or "\n" in label]
