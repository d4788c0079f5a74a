using System.Buffers.Binary;
using Agent.TestNet;

namespace Agent.KernelTests.PeerFailures;

/// <summary>
/// A wall clock that a process shares with nobody. A namespace cannot have one (time namespaces know the monotonic
/// clocks alone), so the calls that read it are answered by a library that is loaded before libc, and adds what a file
/// says.
/// </summary>
internal sealed class WallClock : IDisposable
{
    private const string Source = """
        #define _GNU_SOURCE
        #include <fcntl.h>
        #include <stdlib.h>
        #include <sys/mman.h>
        #include <sys/syscall.h>
        #include <sys/time.h>
        #include <time.h>
        #include <unistd.h>

        static long none;
        static volatile long *offset = &none;

        __attribute__((constructor)) static void find(void) {
            const char *path = getenv("SG_CLOCK_OFFSET");
            int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
            void *page = fd < 0 ? MAP_FAILED : mmap(0, 4096, PROT_READ, MAP_SHARED, fd, 0);
            if (page != MAP_FAILED) offset = page;
            if (fd >= 0) close(fd);
        }

        int clock_gettime(clockid_t id, struct timespec *t) {
            int result = syscall(SYS_clock_gettime, id, t);
            if (result == 0 && (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE)) t->tv_sec += *offset;
            return result;
        }

        int gettimeofday(struct timeval *restrict t, void *restrict zone) {
            struct timespec now;
            clock_gettime(CLOCK_REALTIME, &now);
            t->tv_sec = now.tv_sec;
            t->tv_usec = now.tv_nsec / 1000;
            return 0;
        }

        time_t time(time_t *t) {
            struct timespec now;
            clock_gettime(CLOCK_REALTIME, &now);
            if (t) *t = now.tv_sec;
            return now.tv_sec;
        }
        """;

    private readonly DirectoryInfo folder = ScratchDirectory.Create("clock");

    public WallClock()
    {
        File.WriteAllBytes(OffsetPath, new byte[4096]);
        string source = FileBeside("clock.c");
        File.WriteAllText(source, Source);
        SystemCommand.Run("cc", "-shared", "-fPIC", "-O", "-o", LibraryPath, source);
    }

    /// <summary>For a process that is to live by it.</summary>
    public IReadOnlyDictionary<string, string> Environment => new Dictionary<string, string>
    {
        ["LD_PRELOAD"] = LibraryPath,
        ["SG_CLOCK_OFFSET"] = OffsetPath,
    };

    private string OffsetPath => FileBeside("offset");

    private string LibraryPath => FileBeside("clock.so");

    /// <summary>A path in its directory, which goes with it.</summary>
    public string FileBeside(string name) => Path.Combine(folder.FullName, name);

    /// <summary>Sets it, against everybody else's.</summary>
    public void Set(TimeSpan ahead)
    {
        byte[] seconds = new byte[8];
        BinaryPrimitives.WriteInt64LittleEndian(seconds, (long)ahead.TotalSeconds);
        using FileStream file = File.OpenWrite(OffsetPath);
        file.Write(seconds);
    }

    public void Dispose() => folder.Delete(recursive: true);
}
