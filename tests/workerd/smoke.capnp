# Owns the workerd configuration of the smoke test: the bundle of mod.ts beside the tests that use it.
using Workerd = import "/workerd/workerd.capnp";

const smoke :Workerd.Worker = (
  modules = [
    (name = "smoke.js", esModule = embed "smoke.js"),
    (name = "stackmap.js", esModule = embed "stackmap.js"),
    (name = "program.bin", data = embed "program.bin"),
    (name = "expected.json", json = embed "expected.json"),
  ],
  compatibilityDate = "2026-01-01",
);

const config :Workerd.Config = (
  services = [(name = "smoke", worker = .smoke)],
);
