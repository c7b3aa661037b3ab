"""A fit's randomness is its own."""

import random
import threading

import numpy as np
import pytest
import torch

from sklearn_jointens.training import isolated_random_state


def draw():
    return random.random(), float(np.random.rand()), float(torch.rand(()))


def seed_all(seed):
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


def test_all_generators_are_seeded_inside_and_put_back_after(device):
    seed_all(1)
    expected = draw(), draw()
    inside = []
    for global_seed in (1, 2):
        seed_all(global_seed)
        before = draw() if global_seed == 1 else None
        with isolated_random_state(5, device):
            inside.append(
                (*draw(), float(torch.rand((), device=device)), np.random.randn())
            )
        if before is not None:
            assert (before, draw()) == expected
    assert inside[0] == inside[1]


def test_a_cuda_generator_is_put_back_too(device):
    torch.manual_seed(0)
    expected = torch.rand(3, device=device)
    torch.manual_seed(0)
    with isolated_random_state(1, device):
        torch.rand(100, device=device)
    assert torch.equal(torch.rand(3, device=device), expected)


def test_reseed_starts_anew_within_the_block():
    with isolated_random_state(3, "cpu") as reseed:
        first = draw()
        reseed(3)
        assert draw() == first
        reseed(4)
        assert draw() != first


def test_states_are_put_back_when_the_block_raises():
    seed_all(0)
    expected = draw()
    seed_all(0)
    with pytest.raises(TypeError), isolated_random_state(9, "cpu"):
        draw(None)
    assert draw() == expected


def test_blocks_within_one_thread_may_be_nested():
    with isolated_random_state(0, "cpu"):
        expected = draw()
    with isolated_random_state(0, "cpu"):
        with isolated_random_state(1, "cpu"):
            draw()
        assert draw() == expected


def test_blocks_in_several_threads_do_not_draw_from_each_other():
    def run(seed):
        with isolated_random_state(seed, "cpu"):
            found[seed] = [draw() for _ in range(50)]

    expected = {}
    for seed in range(4):
        with isolated_random_state(seed, "cpu"):
            expected[seed] = [draw() for _ in range(50)]
    found = {}
    threads = [threading.Thread(target=run, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == expected
