using System.Runtime.InteropServices;

namespace Agent.TestNet;

/// <summary>Processor time, so that other work on the machine is not measured with it.</summary>
public static partial class CpuClock
{
    /// <summary>linux/time.h.</summary>
    private const int ThreadClock = 3;

    /// <summary>Of the calling thread, in the kernel's part too.</summary>
    public static TimeSpan OfThread
    {
        get
        {
            Timespec time = default;
            LinuxCalls.Require(GetTime(ThreadClock, ref time), "clock_gettime");
            return TimeSpan.FromSeconds(time.Seconds) + TimeSpan.FromTicks(time.Nanoseconds / 100);
        }
    }

    [StructLayout(LayoutKind.Sequential)]
    private struct Timespec
    {
        public long Seconds;
        public long Nanoseconds;
    }

    [LibraryImport("libc", EntryPoint = "clock_gettime", SetLastError = true)]
    private static partial int GetTime(int clock, ref Timespec time);
}
