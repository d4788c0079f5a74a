using System.Diagnostics;
using System.Runtime.InteropServices;
using System.Text;
using Microsoft.Win32.SafeHandles;

namespace Agent.TestNet;

/// <summary>A terminal, a program that runs at it, and somebody at its keys.</summary>
public sealed partial class PseudoTerminal : IDisposable
{
    /// <summary>O_RDWR, O_NOCTTY.</summary>
    private const int OpenFlags = 2 | 0x100 | LinuxCalls.CloseOnExec;

    private const nuint SetWindowSize = 0x5414; // asm-generic/ioctls.h TIOCSWINSZ
    private const int NameBytes = 64;

    private readonly SafeFileHandle master;
    private readonly SafeFileHandle slave;
    private readonly FileStream wire;
    private readonly StringBuilder written = new();
    private readonly Lock gate = new();
    private readonly Process program;

    private PseudoTerminal(int columns, int lines, string[] command, IReadOnlyDictionary<string, string> environment)
    {
        master = new SafeFileHandle(
            LinuxCalls.Require(OpenMaster(OpenFlags), "posix_openpt"), ownsHandle: true);
        LinuxCalls.Require(Grant(Descriptor), "grantpt");
        LinuxCalls.Require(Unlock(Descriptor), "unlockpt");
        Path = NameOf(Descriptor);

        // Held open, so that its settings outlive the program.
        slave = new SafeFileHandle(
            LinuxCalls.Require(LinuxCalls.Open(Path, OpenFlags), "open"), ownsHandle: true);
        wire = new FileStream(master, FileAccess.ReadWrite, bufferSize: 0);
        Resize(columns, lines);
        new Thread(Listen) { IsBackground = true }.Start();

        // Whoever runs the tests in the background ignores interrupts, and so would what he starts.
        ProcessStartInfo start = new("sh");
        const string Inside = """exec env --default-signal=INT setsid -c "$@" <"$0" >"$0" 2>&1""";
        foreach (string word in (string[])["-c", Inside, Path, .. command])
        {
            start.ArgumentList.Add(word);
        }

        start.Environment["TERM"] = "xterm-256color";
        start.Environment.Remove("NO_COLOR"); // of whoever runs the tests
        foreach ((string name, string value) in environment)
        {
            start.Environment[name] = value;
        }

        program = Process.Start(start) ?? throw new InvalidOperationException("the program did not start");
    }

    public string Path { get; }

    /// <summary>Everything that the program has written, escape sequences included.</summary>
    public string Output
    {
        get
        {
            lock (gate)
            {
                return written.ToString();
            }
        }
    }

    /// <summary>How the terminal treats its input and output, as <c>stty</c> saves it.</summary>
    public string Settings => SystemCommand.Run("stty", "-F", Path, "-g");

    private int Descriptor => (int)master.DangerousGetHandle();

    public static PseudoTerminal Start(
        int columns, int lines, string[] command, IReadOnlyDictionary<string, string>? environment = null) =>
        new(columns, lines, command, environment ?? new Dictionary<string, string>());

    /// <summary>As a person at the keys would: Ctrl-C is <c>\x03</c>, an arrow is an escape sequence.</summary>
    public void Press(string keys)
    {
        wire.Write(Encoding.UTF8.GetBytes(keys));
        wire.Flush();
    }

    public unsafe void Resize(int columns, int lines)
    {
        ushort* size = stackalloc ushort[] { (ushort)lines, (ushort)columns, 0, 0 };
        LinuxCalls.Require(Control(Descriptor, SetWindowSize, size), "ioctl TIOCSWINSZ");
    }

    /// <returns>The program's exit code.</returns>
    public async Task<int> ExitAsync(TimeSpan patience)
    {
        using CancellationTokenSource limit = new(patience);
        await program.WaitForExitAsync(limit.Token);
        return program.ExitCode;
    }

    public void Dispose()
    {
        if (!program.HasExited)
        {
            program.Kill();
            program.WaitForExit();
        }

        program.Dispose();
        slave.Dispose();
        wire.Dispose();
    }

    private void Listen()
    {
        byte[] buffer = new byte[64 * 1024];
        Decoder decoder = Encoding.UTF8.GetDecoder();
        char[] text = new char[buffer.Length];
        try
        {
            while (wire.Read(buffer) is var count && count > 0)
            {
                int decoded = decoder.GetChars(buffer.AsSpan(0, count), text, flush: false);
                lock (gate)
                {
                    written.Append(text, 0, decoded);
                }
            }
        }
        catch (Exception e) when (e is IOException or ObjectDisposedException)
        {
            // The other side is closed: nobody writes any more.
        }
    }

    private static unsafe string NameOf(int descriptor)
    {
        byte* name = stackalloc byte[NameBytes];
        LinuxCalls.Require(-NameInto(descriptor, name, NameBytes), "ptsname_r");
        return Marshal.PtrToStringUTF8((nint)name)!;
    }

    [LibraryImport("libc", EntryPoint = "posix_openpt", SetLastError = true)]
    private static partial int OpenMaster(int flags);

    [LibraryImport("libc", EntryPoint = "grantpt", SetLastError = true)]
    private static partial int Grant(int descriptor);

    [LibraryImport("libc", EntryPoint = "unlockpt", SetLastError = true)]
    private static partial int Unlock(int descriptor);

    [LibraryImport("libc", EntryPoint = "ptsname_r")]
    private static unsafe partial int NameInto(int descriptor, byte* name, nuint size);

    [LibraryImport("libc", EntryPoint = "ioctl", SetLastError = true)]
    private static unsafe partial int Control(int descriptor, nuint request, void* argument);
}
