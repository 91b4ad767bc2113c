import { mistral } from "../../src/architectures/mistral.js";
import { goldenNames, testGoldens } from "./support.js";

testGoldens(mistral, goldenNames("mistral-"));
