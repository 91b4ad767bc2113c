/**
 * Threads that add to the same sums take turns, so that the sums are formed in one order, whichever thread is first:
 * [0] of the shared array is the number of the pass whose turn it is.
 */
export function waitForTurn(turn: Int32Array, mine: number): void {
  for (;;) {
    const now = Atomics.load(turn, 0);
    if (now === mine) return;
    Atomics.wait(turn, 0, now);
  }
}

/** Hands the turn on to the pass after this one. */
export function passTurn(turn: Int32Array, mine: number): void {
  Atomics.store(turn, 0, mine + 1);
  Atomics.notify(turn, 0);
}
