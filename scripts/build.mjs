/** `npm run build`: compiles src to dist. */
import { build } from "./setup.mjs";

build();
