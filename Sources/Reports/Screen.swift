import Foundation

/// Where text for people goes: a terminal, or something that keeps it.
package protocol Screen: AnyObject {
  /// Characters in a line of the terminal; nil where the text goes to a file or a pipe.
  var width: Int? { get }
  /// Whether more than ASCII can be shown.
  var unicode: Bool { get }
  func write(_ text: String)
}

/// The standard output of this process, or its standard error.
///
/// OpenMPI gives its ranks a pseudo-terminal for standard output, whatever its own output is. So under
/// `mpirun` the question is not what this process writes to, but what `mpirun`, its parent, does.
package final class StandardOutput: Screen {
  private let descriptor: Int32
  /// The terminal that people look at; negative where there is none.
  private let terminal: Int32
  package let unicode: Bool

  /// `descriptor` is 1 for the standard output, 2 for the standard error.
  package init(environment: [String: String], descriptor: Int32 = 1) {
    self.descriptor = descriptor
    let launched = environment["OMPI_COMM_WORLD_RANK"] != nil
    let found =
      isatty(descriptor) == 1 ? (launched ? Self.terminalOfParent(descriptor) : dup(descriptor)) : -1
    if found >= 0, environment["TERM"] == "dumb" {
      close(found)
      terminal = -1
    } else {
      terminal = found
    }
    let locale =
      ["LC_ALL", "LC_CTYPE", "LANG"].lazy.compactMap { environment[$0] }.first { !$0.isEmpty } ?? ""
    unicode = locale.uppercased().contains("UTF-8") || locale.uppercased().contains("UTF8")
  }

  deinit { if terminal >= 0 { close(terminal) } }

  /// 80 where the terminal doesn't say.
  package var width: Int? {
    guard terminal >= 0 else { return nil }
    var size = winsize()
    guard ioctl(terminal, UInt(TIOCGWINSZ), &size) == 0, size.ws_col > 0 else { return 80 }
    return Int(size.ws_col)
  }

  /// Text that can't be written is lost: nobody is left to read it.
  package func write(_ text: String) {
    fflush(nil)
    var rest = Array(text.utf8)[...]
    while !rest.isEmpty {
      let count = rest.withUnsafeBytes { Foundation.write(descriptor, $0.baseAddress, $0.count) }
      if count < 0, errno == EINTR { continue }
      guard count > 0 else { return }
      rest = rest.dropFirst(count)
    }
  }

  /// The parent's standard output or error, if that is a terminal.
  private static func terminalOfParent(_ descriptor: Int32) -> Int32 {
    var target = Array(repeating: CChar(0), count: 256)
    let path = "/proc/\(getppid())/fd/\(descriptor)"
    guard readlink(path, &target, target.count - 1) > 0 else { return -1 }
    let name = String(decoding: target.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    guard name.hasPrefix("/dev/") else { return -1 }
    let file = open(name, O_RDONLY | O_NOCTTY | O_NONBLOCK | O_CLOEXEC)
    guard file >= 0, isatty(file) == 1 else {
      if file >= 0 { close(file) }
      return -1
    }
    return file
  }
}
