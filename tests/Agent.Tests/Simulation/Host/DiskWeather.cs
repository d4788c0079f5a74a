using Agent.Tests.State;

namespace Agent.Tests.Simulation.Host;

/// <summary>What a disk does for a while: works, is full, takes no write, is not read, or fails now and then.</summary>
internal sealed class DiskWeather(Fate fate, IHostWatch watch)
{
    private enum Kind
    {
        Fair,
        Full,
        ReadOnly,
        Unreadable,
        Failing,
    }

    private Kind kind;

    /// <summary>Something was not read since: who began then does not know what is on the disk.</summary>
    public bool IsUnread { get; private set; }

    /// <summary>A process begins.</summary>
    public void Begin() => IsUnread = false;

    public void Blow(TornDisk disk, bool isCalm)
    {
        kind = isCalm || !fate.Strikes(15) ? Kind.Fair : (Kind)(1 + fate.Pick(4));
        disk.Partial = fate.Pick(200);
        disk.BeforeRead = () =>
        {
            watch.At("read disk");
            if (kind == Kind.Unreadable ? fate.Strikes(60) : kind == Kind.Failing && fate.Strikes(20))
            {
                IsUnread = true;
                watch.DiskFails($"  the disk is {kind}: no read");
                throw new IOException($"{kind}: no read");
            }
        };
        disk.Before = (call, bytes) =>
        {
            watch.At(call);
            if (Refuses(call, bytes))
            {
                watch.DiskFails($"  the disk is {kind}: no {call}");
                throw new IOException($"{kind}: no {call}");
            }
        };
    }

    private bool Refuses(string call, int bytes) => kind switch
    {
        Kind.Full => call is "create" or "write" && bytes >= 0 && fate.Strikes(90),
        Kind.ReadOnly => true,
        Kind.Failing => fate.Strikes(40),
        _ => false,
    };
}
