using System.Diagnostics;
using Agent.TestNet;

namespace Agent.KernelTests.Chaos;

/// <summary>
/// A small file system for the state of a daemon, which outlives its deaths and is seen by nobody else: it is mounted
/// in a namespace that a process of ours holds open, and that ends with us, however we end.
/// </summary>
internal sealed class PrivateDisk : IDisposable
{
    private readonly Process holder;

    private PrivateDisk(DirectoryInfo folder, Process holder) => (Folder, this.holder) = (folder, holder);

    /// <summary>For <see cref="DaemonOptions.Directory"/>.</summary>
    public DirectoryInfo Folder { get; }

    /// <summary>For <see cref="DaemonOptions.Wrapper"/>.</summary>
    public string Wrapper => $"nsenter -t {holder.Id} -m --";

    public static async Task<PrivateDisk> MountAsync(int sizeKiB)
    {
        DirectoryInfo folder = ScratchDirectory.Create("disk");
        string state = folder.CreateSubdirectory("state").FullName;
        Process holder = Process.Start(new ProcessStartInfo(
            "unshare",
            [
                "-m", "sh", "-c",
                $"mount -t tmpfs -o size={sizeKiB}k,mode=700 sgt {state} && echo mounted && read _",
            ])
        {
            RedirectStandardInput = true, // it ends when this does
            RedirectStandardOutput = true,
        })!;
        PrivateDisk disk = new(folder, holder);
        if (await holder.StandardOutput.ReadLineAsync() != "mounted")
        {
            disk.Dispose();
            throw new InvalidOperationException("the file system was not mounted");
        }

        return disk;
    }

    public void Dispose()
    {
        holder.StandardInput.Close();
        holder.WaitForExit();
        holder.Dispose();
        Folder.Delete(recursive: true);
    }
}
