import COpenMPI
import Tensors

// The negative control.
extension GradientReducer {
  func anyOrderSums(_ plan: ExchangePlan) -> UnsafeMutablePointer<Float> {
    guard let sums = plan.ownSums.first ?? idleSums?.pointer else {
      preconditionFailure("a rank without partial sums expects room for those of others")
    }
    return sums
  }

  /// In mode `.allReduce`: adds up this rank's partial sums one after another, then those of all ranks by
  /// MPI_Allreduce. Collective, when all lanes have finished.
  package func reduceInAnyOrder() throws {
    let number = begun.load(ordering: .relaxed)
    let plan = turn(number).plan
    let result = anyOrderSums(plan)
    if plan.ownSums.isEmpty { result.update(repeating: 0, count: buckets.extent) }
    for other in plan.ownSums.dropFirst() { kernels.pointee.add(result, other, buckets.extent) }
    if communicator.size > 1 {
      try communicator.inPieces(buckets.extent) { offset, count in
        try communicator.check(
          cnn_mpi_all_reduce(result + offset, count, cnn_mpi_float(), cnn_mpi_sum(), communicator.world),
          "MPI_Allreduce")
      }
    }
    for bucket in 0..<buckets.count {
      summed.set(bucket, number)
      rooted.set(bucket, number)
    }
  }
}
