import Collectives
import Tensors
import Training
import XCTest

/// What a step takes on each rank: state once in the job, no copies of the model for the tree.
final class MemoryTests: XCTestCase {
  private let job = Job.communicator

  private func memory(_ more: [String]) throws -> (use: MemoryUse, largestLayer: Int, extent: Int) {
    let options = TrainOptions(
      config: nil,
      overrides: [
        "data.synthetic.images=120", "data.image.size=16", "model.name=resnet18_small", "training.batch=16",
        "training.microbatch=2", "training.lanes=1", "optimizer.name=adamw",
      ] + more, directory: nil, resume: false, isKept: false)
    let step = try TrainingJob.prepare(options, communicator: job).step
    defer { XCTAssertNoThrow(try step.settle()) }
    let largest = step.network.nodes.map { $0.parameterRange.count }.max() ?? 0
    return (step.memory, 4 * largest, 4 * step.network.layout.extent)
  }

  func testOptimizerStateIsThereOnceInTheJob() throws {
    let (use, _, extent) = try memory([])
    // Two moments of the parameters and of the running statistics, which have none to speak of, in whole chunks.
    XCTAssertEqual(try job.sum(use.optimizer), 2 * extent)
    let share = 2 * extent / job.size
    XCTAssertLessThan(abs(use.optimizer - share), 2 * extent / 50 + 2 * 4 * FlatLayout.chunk * 20)
  }

  func testTheTreeTakesLayersAndNotModels() throws {
    for lanes in 1...2 {
      let (use, largest, extent) = try memory(["training.lanes=\(lanes)"])
      // Eight microbatches are three levels; a lane has at most two sums that wait for others.
      XCTAssertLessThanOrEqual(use.tree, 3 * lanes * largest)
      XCTAssertLessThan(use.tree / lanes, extent / 2 + largest)
      // A flat gradient with the metrics for each sum that a lane hands on: one where runs are subtrees.
      if [1, 2, 4].contains(job.size) {
        XCTAssertEqual(use.gradients, lanes * (extent + 4 * FlatLayout.chunk), "\(lanes) lane(s)")
      }
      if job.size * lanes == 8 { XCTAssertEqual(use.tree, 0) }
    }
  }

  func testEachKindIsCountedWhereItIs() throws {
    let plain = try memory([])
    let more = try memory([
      "ema.decay=0.9", "training.batch_statistics=global_batch", "reduce.shared_memory=false",
      "optimizer.name=sgd", "optimizer.momentum=0",
    ])
    XCTAssertEqual(plain.use.weights, plain.extent + 4 * FlatLayout.chunk)
    XCTAssertEqual(plain.use.average, 0)
    XCTAssertEqual(more.use.average, more.use.weights)
    XCTAssertEqual(more.use.optimizer, 0)
    XCTAssertGreaterThan(more.use.tree, plain.use.tree)
    XCTAssertEqual(more.use.sharers, 1)
    XCTAssertEqual(more.use.exchange > 0, job.size > 1)
    XCTAssertEqual(more.use.total, more.use.parts.reduce(0) { $0 + $1.bytes })
    if job.nodeCount == 1 {
      XCTAssertEqual(plain.use.sharers, job.size)
      XCTAssertEqual(plain.use.exchange, 0)
    }
    XCTAssertGreaterThan(plain.use.activations, 0)
    XCTAssertGreaterThan(plain.use.prepared, 0)
  }
}
