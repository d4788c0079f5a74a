namespace Agent.TestNet;

/// <summary>
/// Directories whose names say which process they are of: the next run removes those of one that died.
/// </summary>
public static class ScratchDirectory
{
    public static DirectoryInfo Create(string label = "") => Directory.CreateTempSubdirectory(
        $"sgt-{Environment.ProcessId}-{(label.Length > 0 ? label + "-" : "")}");
}
