"""Runs a program, its threads and its children, and stops each at the system calls that change files.

A small ptrace(2) tracer. strace can inject faults as well, but it counts each kind of call in each thread by itself; what is
wanted here is the n-th call of the whole run, whoever makes it. A seccomp filter lets everything else pass at full speed.
x86-64 Linux only: `available()` says whether this machine can.
"""

import ctypes
import os
import platform
import signal
import struct

# Calls that change what is on disk, or force it there.
MUTATING = {
    "write": 1, "pwrite64": 18, "writev": 20, "sendfile": 40, "fsync": 74, "fdatasync": 75, "truncate": 76,
    "ftruncate": 77, "rename": 82, "mkdir": 83, "rmdir": 84, "creat": 85, "link": 86, "unlink": 87, "symlink": 88,
    "chmod": 90, "fchmod": 91, "chown": 92, "fchown": 93, "lchown": 94, "open": 2, "openat": 257, "mkdirat": 258,
    "fchownat": 260, "unlinkat": 263, "renameat": 264, "linkat": 265, "symlinkat": 266, "fchmodat": 268,
    "sync_file_range": 277, "utimensat": 280, "fallocate": 285, "pwritev": 296, "syncfs": 306, "renameat2": 316,
    "copy_file_range": 326, "pwritev2": 328,
}
# Calls that only look.
READING = {"read": 0, "pread64": 17, "getdents64": 217, "readlink": 89, "readlinkat": 267, "statx": 332, "newfstatat": 262}
NAMES = {number: name for name, number in {**MUTATING, **READING}.items()}

BY_FD = {"write", "pwrite64", "writev", "fsync", "fdatasync", "ftruncate", "fchmod", "fchown", "sync_file_range", "fallocate",
         "pwritev", "syncfs", "pwritev2", "read", "pread64", "getdents64"}
# Of a call with two files the one that is written.
FD_OUT = {"sendfile": 0, "copy_file_range": 2}
BY_PATH = {"truncate": 0, "mkdir": 0, "rmdir": 0, "creat": 0, "unlink": 0, "chmod": 0, "chown": 0, "lchown": 0, "open": 0,
           "rename": 1, "link": 1, "symlink": 1, "readlink": 0}
BY_DIR_AND_PATH = {"openat": 0, "mkdirat": 0, "unlinkat": 0, "fchmodat": 0, "utimensat": 0, "fchownat": 0, "renameat": 2,
                   "renameat2": 2, "linkat": 2, "symlinkat": 1, "readlinkat": 0, "statx": 0, "newfstatat": 0}
FIRST = {"rename": (None, 0), "link": (None, 0), "renameat": (0, 1), "renameat2": (0, 1), "linkat": (0, 1)}
TARGET = {"symlink": 0, "symlinkat": 0}
CHANGING_FLAGS = os.O_CREAT | os.O_TRUNC | (os.O_TMPFILE & ~os.O_DIRECTORY)

TRACEME, CONT, GETREGS, SETREGS, SYSCALL, SETOPTIONS = 0, 7, 12, 13, 24, 0x4200
OPTIONS = 0x01 | 0x02 | 0x04 | 0x08 | 0x10 | 0x80 | 0x100000  # sysgood, fork, vfork, clone, exec, seccomp, exitkill
EVENT_SECCOMP = 7
WALL = 0x40000000
ORIG_RAX, RAX, RIP = 15, 10, 16
ARGUMENTS = (14, 13, 12, 7, 9, 8)  # rdi rsi rdx r10 r8 r9

libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
libc.ptrace.restype = ctypes.c_long
libc.prctl.argtypes = [ctypes.c_int, ctypes.c_ulong, ctypes.c_ulong, ctypes.c_ulong, ctypes.c_ulong]
Registers = ctypes.c_ulong * 27


class TimedOut(Exception):
    """The program took longer than it was given."""


def ptrace(request, pid, data=0):
    result = libc.ptrace(request, pid, 0, data)
    if result < 0:
        raise OSError(ctypes.get_errno(), "ptrace")


def install_filter(numbers):
    """Asks the kernel to stop at these calls and at no others."""
    program = [(0x20, 0, 0, 0)]  # load the number of the call
    for at, number in enumerate(numbers):
        program.append((0x15, len(numbers) - at, 0, number))
    program.append((0x06, 0, 0, 0x7FFF0000))  # allow
    program.append((0x06, 0, 0, 0x7FF00000))  # tell the tracer
    code = b"".join(struct.pack("HBBI", *line) for line in program)
    buffer = ctypes.create_string_buffer(code, len(code))
    prog = ctypes.create_string_buffer(struct.pack("HxxxxxxP", len(program), ctypes.addressof(buffer)))
    if libc.prctl(38, 1, 0, 0, 0) != 0 or libc.prctl(22, 2, ctypes.addressof(prog), 0, 0) != 0:
        os._exit(126)


def read_memory(tid, address, length):
    with open(f"/proc/{tid}/mem", "rb", buffering=0) as memory:
        memory.seek(address)
        data = b""
        while len(data) < length:
            part = memory.read(length - len(data))
            if not part:
                break
            data += part
        return data


def read_string(tid, address):
    with open(f"/proc/{tid}/mem", "rb", buffering=0) as memory:
        data = b""
        while b"\0" not in data and len(data) < 8192:
            memory.seek(address + len(data))
            page_left = 4096 - (address + len(data)) % 4096
            part = memory.read(page_left)
            if not part:
                raise OSError(f"the memory of {tid} is gone")
            data += part
        return os.fsdecode(data.split(b"\0")[0])


class Call:
    """One call, before it is made."""

    def __init__(self, tid, pid, registers):
        self.tid, self.pid = tid, pid
        self.name = NAMES[registers[ORIG_RAX]]
        self.arguments = [registers[at] for at in ARGUMENTS]
        self.registers = registers
        self.path = self._path()

    def fd(self, at):
        return ctypes.c_int(self.arguments[at] & 0xFFFFFFFF).value

    def fd_path(self, fd):
        try:
            return os.readlink(f"/proc/{self.tid}/fd/{fd}")
        except OSError:
            return ""

    def _join(self, fd_at, path_at):
        path = read_string(self.tid, self.arguments[path_at]) if self.arguments[path_at] else ""
        if path.startswith("/"):
            return path
        fd = -100 if fd_at is None else self.fd(fd_at)
        base = os.readlink(f"/proc/{self.tid}/cwd") if fd == -100 else self.fd_path(fd)
        return os.path.normpath(os.path.join(base, path)) if path else base

    def _path(self):
        name = self.name
        try:
            if name in BY_FD:
                return self.fd_path(self.fd(0))
            if name in FD_OUT:
                return self.fd_path(self.fd(FD_OUT[name]))
            if name in BY_PATH:
                return self._join(None, BY_PATH[name])
            at = BY_DIR_AND_PATH[name]
            return self._join(at, at + 1)
        except OSError:
            return ""

    def first_path(self):
        """Of a rename or a link, the name that is there already."""
        return self._join(*FIRST[self.name])

    def target(self):
        return read_string(self.tid, self.arguments[TARGET[self.name]])

    def flags(self):
        return self.arguments[{"open": 1, "openat": 2}[self.name]]

    def changes(self):
        """Whether it changes something on disk, or forces it there."""
        if self.name in ("open", "openat"):
            return bool(self.flags() & CHANGING_FLAGS)
        return self.name in MUTATING

    def data(self):
        """What a write is about to write."""
        if self.name in ("write", "pwrite64"):
            return read_memory(self.tid, self.arguments[1], self.arguments[2])
        vectors = read_memory(self.tid, self.arguments[1], 16 * self.arguments[2])
        parts = struct.iter_unpack("QQ", vectors)
        return b"".join(read_memory(self.tid, base, length) for base, length in parts)

    def short(self):
        return f"{self.name} {self.path}"


def thread_group(tid):
    with open(f"/proc/{tid}/status") as status:
        for line in status:
            if line.startswith("Tgid:"):
                return int(line.split()[1])
    return tid


def run(argv, decide, stderr, wanted=MUTATING, after=None, timeout=120, cwd="/"):
    """Runs `argv`. `decide(call)` is asked at each of the wanted calls; it may return `("error", errno)`, `("kill", pids)` (the call is
    not made), `"after"` to have `after(call, result)` told how it ended, or None. Gives the exit code, negative for a signal."""
    child = os.fork()
    if child == 0:
        try:
            os.setsid()
            null = os.open("/dev/null", os.O_RDONLY)
            out = os.open(stderr, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
            os.dup2(null, 0)
            os.dup2(out, 1)
            os.dup2(out, 2)
            os.chdir(cwd)
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            os.environ.pop("APTMERGE_CONFIG", None)
            ptrace(TRACEME, 0)
            os.kill(os.getpid(), signal.SIGSTOP)
            install_filter(sorted(wanted.values()))
            os.execvp(argv[0], argv)
        finally:
            os._exit(127)
    os.waitpid(child, WALL)
    ptrace(SETOPTIONS, child, OPTIONS)
    ptrace(CONT, child)
    groups, pending, code = {child: child}, {}, None

    def on_alarm(_number, _frame):
        raise TimedOut(f"{' '.join(argv)} took more than {timeout} s")

    previous = signal.signal(signal.SIGALRM, on_alarm)
    signal.alarm(timeout)
    try:
        while True:
            try:
                tid, status = os.waitpid(-1, WALL)
            except ChildProcessError:
                return code
            if not os.WIFSTOPPED(status):
                pending.pop(tid, None)
                if tid == child:
                    code = os.WEXITSTATUS(status) if os.WIFEXITED(status) else -os.WTERMSIG(status)
                continue
            try:
                _stopped(tid, status, groups, pending, decide, after)
            except OSError:
                pass  # it was killed meanwhile
    except BaseException:
        # Nothing of it may be left for the next run to wait for.
        signal.alarm(0)
        for group in set(groups.values()):
            try:
                os.kill(group, signal.SIGKILL)
            except OSError:
                pass
        try:
            while True:
                os.waitpid(-1, WALL)
        except ChildProcessError:
            pass
        raise
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, previous)


def _stopped(tid, status, groups, pending, decide, after):
    number, event = os.WSTOPSIG(status), status >> 16
    if tid not in groups:
        groups[tid] = thread_group(tid)
        if number == signal.SIGSTOP:
            return ptrace(CONT, tid)
    if event == EVENT_SECCOMP:
        registers = Registers()
        ptrace(GETREGS, tid, ctypes.addressof(registers))
        call = Call(tid, groups[tid], registers)
        verdict = decide(call)
        if verdict == "after":
            pending[tid] = call
            return ptrace(SYSCALL, tid)
        if verdict and verdict[0] == "error":
            registers[ORIG_RAX] = ctypes.c_ulong(-1).value
            registers[RAX] = ctypes.c_ulong(-verdict[1]).value
            ptrace(SETREGS, tid, ctypes.addressof(registers))
        elif verdict and verdict[0] == "kill":
            for pid in verdict[1]:
                os.kill(pid, signal.SIGKILL)
            return None
        return ptrace(CONT, tid)
    if number == signal.SIGTRAP | 0x80:
        call = pending.pop(tid, None)
        if call is not None:
            registers = Registers()
            ptrace(GETREGS, tid, ctypes.addressof(registers))
            after(call, ctypes.c_long(registers[RAX]).value)
        return ptrace(CONT, tid)
    if event:
        return ptrace(CONT, tid)
    return ptrace(CONT, tid, number)


def available():
    """Whether processes can be traced here; why not, where they cannot."""
    if platform.machine() != "x86_64" or platform.system() != "Linux":
        return "the tracer knows x86-64 Linux only"
    seen = []
    try:
        run(["mkdir", "-p", "/"], lambda call: seen.append(call.name), "/dev/null", timeout=20)
    except OSError as error:
        return f"processes cannot be traced here: {error}"
    return None if seen else "processes cannot be traced here"
