import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { networkOf } from "../../src/architectures/index.js";
import { changedConfig } from "./support.js";

// Written by test/oracle/parameter_order.py: golden folder → names.
const ORDERS: unknown = JSON.parse(
  readFileSync(new URL("../goldens/parameter-order.json", import.meta.url), "utf8"),
);

describe("parameters in the order of PyTorch's named_parameters(), which optimizer states are numbered by", () => {
  it.each(Object.entries(ORDERS as Record<string, readonly string[]>))("%s", (name, order) => {
    const network = networkOf(changedConfig(name, {}));
    expect(network.parameters.map((one) => one.name)).toEqual(order);
  });
});
