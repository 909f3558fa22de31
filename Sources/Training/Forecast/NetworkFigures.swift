/// What joins the nodes of a cluster.
package struct NetworkFigures: Codable, Sendable, Equatable {
  /// Of a node's link, in each direction.
  package var bytesPerSecond: Double
  /// From the end of sending to the arrival.
  package var latencySeconds: Double
  /// What a message costs the lane that sends it, or gets it.
  package var messageSeconds: Double
  /// What a lane is kept from computing for each byte that its rank sends while it gets one: the system's copies in
  /// and out of sockets, say. 0 where the network reads memory by itself.
  package var secondsPerByte = 0.0

  enum CodingKeys: String, CodingKey {
    case bytesPerSecond = "bytes_per_second"
    case latencySeconds = "latency_seconds"
    case messageSeconds = "message_seconds"
    case secondsPerByte = "seconds_per_byte"
  }

  package init(bytesPerSecond: Double, latencySeconds: Double, messageSeconds: Double) {
    self.bytesPerSecond = bytesPerSecond
    self.latencySeconds = latencySeconds
    self.messageSeconds = messageSeconds
  }

  /// What `bench reduce` took for buffers of several sizes: the same sums and values, with nothing to compute.
  package struct Measured: Sendable {
    package let bytes: Int
    package let seconds: Double
    /// By a rank, on average.
    package let bytesSent: Double

    package init(bytes: Int, seconds: Double, bytesSent: Double) {
      (self.bytes, self.seconds, self.bytesSent) = (bytes, seconds, bytesSent)
    }
  }

  /// The latency of half a round of the smallest buffer, which goes there and back, and the bandwidth between the
  /// two largest; what a message costs its lane is part of that latency and given by `messageSeconds`. Nil where
  /// there are fewer than three sizes, or time doesn't grow with them.
  package init?(_ measured: [Measured], messageSeconds: Double) {
    let sorted = measured.sorted { $0.bytes < $1.bytes }
    guard sorted.count > 2, let small = sorted.first, let large = sorted.last else { return nil }
    let middle = sorted[sorted.count - 2]
    guard large.seconds > middle.seconds, large.bytesSent > middle.bytesSent else { return nil }
    bytesPerSecond = (large.bytesSent - middle.bytesSent) / (large.seconds - middle.seconds)
    latencySeconds = max(0, small.seconds / 2 - 2 * messageSeconds)
    self.messageSeconds = messageSeconds
  }
}
