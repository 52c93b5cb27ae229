"""A training step compiled ahead; prints what the cache had, and how many graphs there are around it."""

import json
import sys

import torch
from torch._dynamo.utils import counters

from diffbev_engine.config.load import load_settings
from diffbev_engine.dataset.order import ALONE
from diffbev_engine.train.distributed import Processes
from diffbev_engine.train.random_batch import random_batch
from diffbev_engine.train.train import build_step

small = ("model.backbone.pretrained=None", "data.samples_per_gpu=2", "data.image_size=(256,448)")
settings, device = load_settings(sys.argv[1], small), torch.device("cuda", 0)
step = build_step(settings, Processes(device, ALONE), resuming=True)
step.await_compilers()
waited = counters["stats"]["unique_graphs"]
step.run(0, [random_batch(settings, device)])
graphs = {"graphs_before": waited, "graphs_after": counters["stats"]["unique_graphs"]}
print(json.dumps(counters["inductor"] | graphs))
