// What we use of milvus.io/v1beta1, after the reference of Milvus' operator
// (https://github.com/zilliztech/milvus-operator/blob/main/docs/CRD/milvus.md).
interface Quantities { cpu?: string; memory?: string }
interface Component {
  replicas?: number
  resources?: { requests?: Quantities; limits?: Quantities }
}
interface InCluster { inCluster: { deletionPolicy?: "Delete" | "Retain"; pvcDeletion?: boolean } }
export interface IMilvus {
  apiVersion: "milvus.io/v1beta1"
  kind: "Milvus"
  metadata: { name: string; namespace?: string; labels?: Record<string, string> }
  spec: {
    mode?: "standalone" | "cluster"
    dependencies?: { etcd?: InCluster; storage?: InCluster }
    components?: { queryNode?: Component; proxy?: Component; image?: string }
  }
}
