using System.Runtime.InteropServices;

namespace Agent.Tests.Proof;

/// <summary>Microsoft's Z3, by its C API (z3_api.h), which Debian has as libz3-4.</summary>
/// <remarks>The NuGet package Microsoft.Z3 4.12.2 brings no library for Linux, and does not go with Debian's.</remarks>
internal static partial class SmtSolver
{
    private const string Library = "libz3.so.4";

    /// <summary>Runs commands in SMT-LIB 2.</summary>
    /// <returns>What the solver prints.</returns>
    public static string Run(string commands)
    {
        nint config = Z3_mk_config();
        nint context = Z3_mk_context(config);
        Z3_del_config(config);
        try
        {
            // The text belongs to the context.
            return Marshal.PtrToStringUTF8(Z3_eval_smtlib2_string(context, commands)) ?? "";
        }
        finally
        {
            Z3_del_context(context);
        }
    }

    [LibraryImport(Library)]
    private static partial nint Z3_mk_config();

    [LibraryImport(Library)]
    private static partial void Z3_del_config(nint config);

    [LibraryImport(Library)]
    private static partial nint Z3_mk_context(nint config);

    [LibraryImport(Library)]
    private static partial void Z3_del_context(nint context);

    [LibraryImport(Library, StringMarshalling = StringMarshalling.Utf8)]
    private static partial nint Z3_eval_smtlib2_string(nint context, string commands);
}
