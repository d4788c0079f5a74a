using System.Diagnostics;
using System.Globalization;
using System.Text.Json.Nodes;
using System.Xml.Linq;
using Agent.KernelTests.Daemon;
using Agent.TestNet;

namespace Agent.KernelTests.Lab;

/// <summary><c>make run</c> shows what it promises, and leaves nothing behind however it ends.</summary>
public sealed class LabTests
{
    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(2);

    private static readonly string Program = BuiltProgram.Find("SG_LAB", "Agent.Lab", "sg-lab");

    [Fact]
    public async Task A_run_shows_flows_and_metrics_and_leaves_nothing()
    {
        using LabProcess lab = LabProcess.Start("run");
        await lab.EndAsync();
        Assert.True(lab.ExitCode == 0, lab.Text);
        Assert.Contains("flows as expected", lab.Text, StringComparison.Ordinal);
        Assert.Contains("sg_agent_applied_revision", lab.Text, StringComparison.Ordinal);
        AssertNothingIsLeft(lab.Id);
    }

    [Theory]
    [InlineData("$ sgctl")]
    [InlineData("applied revision")]
    [InlineData(null)]
    public async Task Interrupted_it_leaves_nothing(string? after)
    {
        using LabProcess lab = LabProcess.Start("run");
        await DaemonLab.UntilAsync(after ?? "a first namespace", () => lab.HasEnded
            || (after is null ? Namespaces(lab.Id).Length > 2 : lab.Text.Contains(after, StringComparison.Ordinal)));
        lab.Interrupt();
        await lab.EndAsync();
        Assert.True(lab.ExitCode == 130, $"{lab.ExitCode}\n{lab.Text}");
        AssertNothingIsLeft(lab.Id);
    }

    [Fact]
    public async Task A_picture_has_every_panel_of_the_dashboard_with_numbers_in_it()
    {
        const int MaxBytes = 60 * 1024;
        string path = Path.Combine(ScratchDirectory.Create("picture").FullName, "host.svg");
        using LabProcess lab = LabProcess.Start("picture", path, "--seconds", "16");
        await lab.EndAsync();
        Assert.True(lab.ExitCode == 0, lab.Text);
        string text = await File.ReadAllTextAsync(path, TestContext.Current.CancellationToken);
        Directory.Delete(Path.GetDirectoryName(path)!, recursive: true);
        Assert.InRange(text.Length, 1, MaxBytes);
        XElement svg = XElement.Parse(text);
        string[] words = [.. svg.Descendants().Where(one => one.Name.LocalName == "text").Select(one => one.Value)];
        JsonNode board = JsonNode.Parse(await File.ReadAllTextAsync(
            Path.Combine(BuiltProgram.RepositoryRoot(), "packaging", "grafana", "sg-agent-host.json"),
            TestContext.Current.CancellationToken))!;
        Assert.All(board["panels"]!.AsArray(), panel => Assert.Contains((string)panel!["title"]!, words));
        Assert.DoesNotContain("no data", words);
        Assert.Contains("\u25ac default", words); // drops, by their reason
        AssertNothingIsLeft(lab.Id);
    }

    private static string[] Namespaces(int id) =>
        Directory.Exists("/run/netns") ? Directory.GetFiles("/run/netns", $"sgt-{id}-*") : [];

    private static void AssertNothingIsLeft(int id)
    {
        Assert.Empty(Namespaces(id));
        Assert.Empty(Directory.GetDirectories(Path.GetTempPath(), $"sgt-{id}-*"));
        Assert.DoesNotContain($"/sgt-{id}-", SystemCommand.Run("ps", "-eo", "args"), StringComparison.Ordinal);
    }

    /// <summary>
    /// sg-lab in a process group of its own, so that it can be interrupted as a terminal does it: all of it. A shell's
    /// background jobs ignore such an interrupt, and so would what they start.
    /// </summary>
    private sealed class LabProcess : IDisposable
    {
        private readonly Process process;
        private readonly System.Text.StringBuilder text = new();

        private LabProcess(Process process)
        {
            this.process = process;
            process.OutputDataReceived += (_, line) => Add(line.Data);
            process.ErrorDataReceived += (_, line) => Add(line.Data);
            process.BeginOutputReadLine();
            process.BeginErrorReadLine();
        }

        public int Id => process.Id;

        public int ExitCode => process.ExitCode;

        public bool HasEnded => process.HasExited;

        public string Text
        {
            get
            {
                lock (text)
                {
                    return text.ToString();
                }
            }
        }

        public static LabProcess Start(params string[] words)
        {
            var start = new ProcessStartInfo("setsid", ["env", "--default-signal=INT", Program, .. words])
            {
                RedirectStandardOutput = true,
                RedirectStandardError = true,
            };
            return new LabProcess(Process.Start(start)!);
        }

        public void Interrupt() => SystemCommand.TryRun(
            "kill", null, "-INT", "--", string.Create(CultureInfo.InvariantCulture, $"-{process.Id}"));

        public async Task EndAsync()
        {
            using var limit = new CancellationTokenSource(Patience);
            await process.WaitForExitAsync(limit.Token);
        }

        public void Dispose()
        {
            if (!process.HasExited)
            {
                process.Kill(entireProcessTree: true);
            }

            process.Dispose();
        }

        private void Add(string? line)
        {
            lock (text)
            {
                text.AppendLine(line);
            }
        }
    }
}
