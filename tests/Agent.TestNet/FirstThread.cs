using System.Runtime.ExceptionServices;

namespace Agent.TestNet;

/// <summary>
/// A thread on one processor, before everything else there: what the kernel puts off for its workers on that processor
/// does not happen until the thread waits.
/// </summary>
public static class FirstThread
{
    /// <summary>sched.h SCHED_FIFO.</summary>
    private const int FirstInFirstOut = 1;

    /// <summary>Runs an action there, and returns when it has ended.</summary>
    /// <exception cref="System.ComponentModel.Win32Exception">Not allowed: it takes root.</exception>
    public static unsafe void Run(Action action)
    {
        ArgumentNullException.ThrowIfNull(action);
        ExceptionDispatchInfo? failed = null;
        var thread = new Thread(() =>
        {
            try
            {
                FrameSender.PinThread(0);
                int priority = 1;
                LinuxCalls.Require(LinuxCalls.SetScheduler(0, FirstInFirstOut, &priority), "sched_setscheduler");
                action();
            }
            catch (Exception e) when (e is not OutOfMemoryException)
            {
                failed = ExceptionDispatchInfo.Capture(e);
            }
        });
        thread.Start();
        thread.Join();
        failed?.Throw();
    }
}
