// Checks objects against the schemas of their operators: reads a JSON array, prints a line for each fault.
// Values are checked by the schemas themselves, and that no field is unknown by the types made of them.
import { readFileSync, writeFileSync, unlinkSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { PodMonitor, PrometheusRule, ServiceMonitor } from "@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1"
import { ScaledObject, TriggerAuthentication } from "@kubernetes-models/keda/keda.sh/v1alpha1"
import ts from "typescript"

const MONITORING = "@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1"
const KEDA = "@kubernetes-models/keda/keda.sh/v1alpha1"
const KINDS = {
  ScaledObject: [KEDA, ScaledObject],
  TriggerAuthentication: [KEDA, TriggerAuthentication],
  PodMonitor: [MONITORING, PodMonitor],
  ServiceMonitor: [MONITORING, ServiceMonitor],
  PrometheusRule: [MONITORING, PrometheusRule],
  Milvus: ["./milvus.js", undefined],
}

const objects = JSON.parse(readFileSync(0, "utf8"))
const faults = []
const lines = []
for (const object of objects) {
  const place = `${object.kind} ${object.metadata?.name}`
  if (!(object.kind in KINDS)) {
    faults.push(`${place}: no schema is known of it`)
    continue
  }
  const [module, model] = KINDS[object.kind]
  try {
    if (model) new model(object).validate()
  } catch (error) {
    faults.push(`${place}: ${error.message}`)
  }
  lines.push(`{ const object: import("${module}").I${object.kind} = ${JSON.stringify(object)}; object } // ${place}`)
}

const source = fileURLToPath(new URL(`objects-${process.pid}.ts`, import.meta.url))
writeFileSync(source, lines.join("\n"))
try {
  const program = ts.createProgram([source], {
    strict: true, noEmit: true, skipLibCheck: true, types: [],
    module: ts.ModuleKind.NodeNext, moduleResolution: ts.ModuleResolutionKind.NodeNext,
  })
  for (const fault of ts.getPreEmitDiagnostics(program)) {
    const words = ts.flattenDiagnosticMessageText(fault.messageText, " ")
    const line = fault.file?.getLineAndCharacterOfPosition(fault.start).line
    const place = line === undefined ? "" : lines[line].slice(lines[line].lastIndexOf("// ") + 3)
    faults.push(`${place}: ${words}`)
  }
} finally {
  unlinkSync(source)
}
for (const fault of faults) console.log(fault)
