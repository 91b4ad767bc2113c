import type * as Common from "onnxruntime-common";
import { RuntimeError } from "../errors.js";
import type { Device } from "./session.js";

type Ort = Pick<typeof Common, "InferenceSession" | "Tensor">;

export interface LoadedRuntime {
  readonly ort: Ort;
  /** The device's name as the runtime spells it. */
  readonly device: string;
}

/**
 * Loads the neural-network runtime that a device needs: onnxruntime-node, and for `wasm`, or where there is no native binary
 * for this platform, onnxruntime-web. Neither is needed for merging, so neither comes with this package.
 * @throws RuntimeError that names the package to install.
 */
export async function loadRuntime(device: Device): Promise<LoadedRuntime> {
  if (device === "wasm") return { ort: await load("onnxruntime-web"), device: "wasm" };
  try {
    return { ort: await load("onnxruntime-node"), device };
  } catch (error) {
    if (device !== "cpu") throw error;
    try {
      return { ort: await load("onnxruntime-web"), device: "wasm" };
    } catch {
      // The native runtime is the one to install.
      throw error;
    }
  }
}

async function load(name: "onnxruntime-node" | "onnxruntime-web"): Promise<Ort> {
  try {
    const loaded: unknown = await (name === "onnxruntime-node"
      ? import("onnxruntime-node")
      : import("onnxruntime-web"));
    // Both packages export the interface of onnxruntime-common; CommonJS hides it under `default`.
    const module = loaded as Ort & { readonly default?: Ort };
    return module.default ?? module;
  } catch (error) {
    throw new RuntimeError({
      what: "gradients and predictions need a neural-network runtime, which is not installed",
      got: error instanceof Error ? (error.message.split("\n")[0] ?? "") : String(error),
      expected: name,
      hint: `npm install ${name} (merging does without it)`,
    });
  }
}
