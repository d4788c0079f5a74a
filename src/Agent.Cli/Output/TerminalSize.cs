using System.Runtime.InteropServices;

namespace Agent.Cli.Output;

/// <summary>How wide the terminal is.</summary>
/// <remarks>
/// Console.WindowWidth knows it too, but switches the terminal's keypad to application mode on the way, and leaves it so.
/// </remarks>
internal static class TerminalSize
{
    /// <summary>asm-generic/ioctls.h, TIOCGWINSZ.</summary>
    private const nuint GetWindowSize = 0x5413;

    private const int StandardOutput = 1;

    /// <summary>Columns of the terminal that standard output is; null if it is none, or does not know.</summary>
    public static int? Columns() =>
        Control(StandardOutput, GetWindowSize, out WindowSize size) == 0 && size.Columns > 0 ? size.Columns : null;

    [DllImport("libc", EntryPoint = "ioctl")]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static extern int Control(int descriptor, nuint request, out WindowSize size);

    /// <summary>asm-generic/termios.h, struct winsize.</summary>
    [StructLayout(LayoutKind.Sequential)]
    private readonly struct WindowSize
    {
        public readonly ushort Rows;
        public readonly ushort Columns;
        public readonly ushort Width;
        public readonly ushort Height;
    }
}
