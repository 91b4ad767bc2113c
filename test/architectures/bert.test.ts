import { bert } from "../../src/architectures/bert.js";
import { goldenNames, testGoldens } from "./support.js";

testGoldens(bert, goldenNames("bert-"));
