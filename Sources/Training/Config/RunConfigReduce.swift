import Collectives
import Tensors

package struct ReduceConfig: Codable, Sendable, Equatable {
  /// 0 for automatic.
  package var bucketBytes = 0
  package var sharedMemory = true
  package var precision = Precision.fp32
  /// How many nodes of the tree a node of the cluster adds up at a time; 0 for all at once.
  package var fanIn = 0

  /// As what gradients are summed.
  package enum Precision: String, ConfigChoice { case fp32, bf16 }

  package init() {}

  enum CodingKeys: String, CodingKey {
    case bucketBytes = "bucket_bytes"
    case sharedMemory = "shared_memory"
    case precision
    case fanIn = "fan_in"
  }

  /// A chunk: the grain in which ranks own the flat buffer.
  package static let smallestBucket = FlatLayout.chunk * MemoryLayout<Float>.stride

  /// The buckets of a flat buffer whose statistics and metrics begin at `tail`.
  func buckets(extent: Int, tail: Int, ranks: Int) -> Buckets {
    let bytes = bucketBytes == 0 ? Buckets.automaticBytes(extent: extent, ranks: ranks) : bucketBytes
    return Buckets(extent: extent, tail: tail, floats: bytes / MemoryLayout<Float>.stride, ranks: ranks)
  }
}
