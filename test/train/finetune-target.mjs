/** Trains as the first argument says, with the module that the second one names: a process to be killed. */
const [options, module] = process.argv.slice(2);
const { finetune } = await import(module);
const controller = new AbortController();
process.once("SIGINT", () => controller.abort());
try {
  await finetune(JSON.parse(options), {
    signal: controller.signal,
    onEvent: (event) => process.stdout.write(`${JSON.stringify(event)}\n`),
  });
} catch (error) {
  process.stderr.write(`error: ${error.message}\n`);
  process.exitCode = 1;
}
