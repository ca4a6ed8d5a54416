// Ask a server about pictures over gRPC: `node ask.mjs ADDRESS MODEL FILE...`.
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { credentials, loadPackageDefinition } from "@grpc/grpc-js";
import { loadSync } from "@grpc/proto-loader";

const proto = loadSync(fileURLToPath(new URL("prediction.proto", import.meta.url)), { enums: String });
const { PredictionService } = loadPackageDefinition(proto).tensorflow.serving;

/** Send the bytes of the files as they are; return the best label of each file with its score. */
async function bestLabels(client, model, files) {
  const pictures = {
    dtype: "DT_STRING",
    tensorShape: { dim: [{ size: files.length }] },
    stringVal: files.map((file) => readFileSync(file)),
  };
  const predict = promisify(client.Predict.bind(client));
  const request = { modelSpec: { name: model }, inputs: { image_bytes: pictures } };
  const { outputs } = await predict(request, { deadline: Date.now() + 60_000 });
  const labels = outputs.classes.stringVal; // [files, classes], row by row
  const scores = outputs.scores.floatVal;
  const classes = scores.length / files.length;
  return files.map((_, row) => {
    const ofRow = scores.slice(row * classes, (row + 1) * classes);
    const best = ofRow.indexOf(Math.max(...ofRow));
    return `${labels[row * classes + best]} (${ofRow[best].toFixed(2)})`;
  });
}

const [address, model, ...files] = process.argv.slice(2);
if (files.length === 0) {
  console.error("usage: node ask.mjs ADDRESS MODEL FILE...");
  process.exit(2);
}
const client = new PredictionService(address, credentials.createInsecure());
try {
  const labels = await bestLabels(client, model, files);
  files.forEach((file, row) => console.log(`${file} ${labels[row]}`));
} catch (error) {
  const text = (error.details || error.message).replace(/{{.*?}} /g, ""); // TensorFlow's texts begin with {{function_node ...}}
  console.error(`error: ${text.split("\n")[0]}`);
  process.exitCode = 1;
} finally {
  client.close();
}
