using System.Globalization;

namespace Agent.TestNet;

/// <summary>How patient the waits are: an emulated machine is several times slower than one that is there.</summary>
public static class Pace
{
    /// <summary><c>SG_TEST_SLOW</c>: how many times slower than usual; 1 if it is not set.</summary>
    public static readonly int Slowdown = Read();

    /// <summary>A wait that is right on a usual machine, for this one.</summary>
    public static TimeSpan Scaled(TimeSpan usual) => usual * Slowdown;

    private static int Read()
    {
        string? said = Environment.GetEnvironmentVariable("SG_TEST_SLOW");
        return string.IsNullOrEmpty(said) ? 1 : int.Parse(said, NumberStyles.None, CultureInfo.InvariantCulture);
    }
}
