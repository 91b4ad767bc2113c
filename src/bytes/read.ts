import { truncated } from "./file.js";
import type { ByteSource } from "./source.js";

/**
 * A fresh array with the `length` bytes from `offset`. The length is checked against the source before anything is allocated.
 * @throws TruncatedError where the source ends before.
 */
export function readBytes(source: ByteSource, offset: number, length: number): Uint8Array {
  if (offset + length > source.size) {
    throw truncated(source, length, offset, Math.max(0, source.size - offset));
  }
  const bytes = new Uint8Array(length);
  source.readInto(bytes, offset);
  return bytes;
}
