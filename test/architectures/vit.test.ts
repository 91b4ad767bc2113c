import { vit } from "../../src/architectures/vit.js";
import { goldenNames, testGoldens } from "./support.js";

testGoldens(vit, goldenNames("vit-"));
