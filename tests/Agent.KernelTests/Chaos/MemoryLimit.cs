using System.Globalization;

namespace Agent.KernelTests.Chaos;

/// <summary>
/// A control group that gives a process a few mebibytes beyond what it holds: what it has is paged out and in again,
/// and when that is not enough, the kernel kills it.
/// </summary>
internal sealed class MemoryLimit : IDisposable
{
    private const string Root = "/sys/fs/cgroup";
    private const int Bytes = 8 << 20;

    private static int last;

    private readonly string group;
    private readonly string parent;
    private int process;

    private MemoryLimit(string parent, string limitFile)
    {
        this.parent = parent;
        group = Path.Combine(parent, $"sgt-{Environment.ProcessId}-{Interlocked.Increment(ref last)}");
        Directory.CreateDirectory(group);
        try
        {
            File.WriteAllText(Path.Combine(group, limitFile), Bytes.ToString(CultureInfo.InvariantCulture));
        }
        catch
        {
            Directory.Delete(group);
            throw;
        }
    }

    private static string V1 => Path.Combine(Root, "memory");

    /// <summary>Why there can be none on this machine; null: there can.</summary>
    public static string? Obstacle()
    {
        try
        {
            Create().Dispose();
            return null;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return e.Message;
        }
    }

    public static MemoryLimit Create() => Directory.Exists(V1)
        ? new MemoryLimit(V1, "memory.limit_in_bytes") : new MemoryLimit(Root, "memory.max");

    public void Put(int processId)
    {
        process = processId;
        Move(group);
    }

    public void Dispose()
    {
        if (process != 0 && Directory.Exists($"/proc/{process}"))
        {
            Move(parent);
        }

        // The dead leave it a moment later.
        for (int i = 0; ; i++)
        {
            try
            {
                Directory.Delete(group);
                return;
            }
            catch (IOException) when (i < 100)
            {
                Thread.Sleep(20);
            }
        }
    }

    private void Move(string to)
    {
        try
        {
            File.WriteAllText(Path.Combine(to, "cgroup.procs"), process.ToString(CultureInfo.InvariantCulture));
        }
        catch (IOException)
        {
            // It is dead.
        }
    }
}
