/** `npm run demo [-- OPTIONS]`: sets up what is missing, then `gradmerge demo`. */
import { spawnSync } from "node:child_process";
import { commandLine, root, setUp } from "./setup.mjs";

setUp();
const demo = spawnSync(process.execPath, [commandLine, "demo", ...process.argv.slice(2)], {
  cwd: root,
  stdio: "inherit",
});
process.exit(demo.status ?? 1);
