// Which files of a repository an engine needs. Pure: other formats of the same weights would double the download.
import type { HubFile } from './hub.ts'

const otherFormats = /\.(bin|pt|pth|msgpack|h5|ot|onnx|gguf|tflite|mlmodel)$|^(original|metal|onnx|openvino|flax|tf)\//
const neverNeeded = /(^|\/)\.git|\.(md|png|jpe?g|gif|pdf|mp4|svg)$|^(LICENSE|NOTICE|USE_POLICY)/i

/** With safetensors: these and what is no weight. Without: everything that an engine could load. */
export function pickFiles(files: readonly HubFile[]): HubFile[] {
  const useful = files.filter((file) => !neverNeeded.test(file.path))
  if (!useful.some((file) => /^[^/]+\.safetensors$/.test(file.path))) return useful
  const hasModel = useful.some((file) => /^model.*\.safetensors$/.test(file.path))
  // Mistral publishes the same weights as consolidated*.safetensors beside model-*.safetensors.
  const isTwin = (path: string) => hasModel && /^consolidated.*\.safetensors/.test(path)
  return useful.filter((file) => !otherFormats.test(file.path) && !isTwin(file.path))
}
