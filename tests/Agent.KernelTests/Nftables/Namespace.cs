using System.Diagnostics;
using Agent.Nftables;

namespace Agent.KernelTests.Nftables;

/// <summary>The throwaway network namespace in which this process was started.</summary>
internal static class Namespace
{
    internal static void MustBeThrowaway() => Assert.True(
        Environment.GetEnvironmentVariable("SG_TEST_NETNS") == "1",
        "run under `SG_TEST_NETNS=1 unshare -n`: these tests write to the current network namespace");

    /// <summary>A connection, and no tables.</summary>
    internal static NftConnection Clean(TableOwnership ownership = TableOwnership.Shared)
    {
        MustBeThrowaway();
        Run("nft", "flush ruleset");
        return new NftConnection(ownership);
    }

    /// <returns>Exit code and what was printed.</returns>
    internal static (int Code, string Output) TryRun(string program, string arguments, string? input = null)
    {
        using var process = Process.Start(new ProcessStartInfo(program, arguments)
        {
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        })!;
        Task<string> errors = process.StandardError.ReadToEndAsync();
        Task<string> output = process.StandardOutput.ReadToEndAsync();
        process.StandardInput.Write(input);
        process.StandardInput.Close();
        process.WaitForExit();
        return (process.ExitCode, output.Result + errors.Result);
    }

    internal static string Run(string program, string arguments, string? input = null)
    {
        (int code, string output) = TryRun(program, arguments, input);
        Assert.True(code == 0, $"{program} {arguments}: {code}\n{output}");
        return output;
    }
}
