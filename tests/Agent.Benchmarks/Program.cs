using Agent.Benchmarks;

// Writes tests/benchmarks/proof.md, or what follows --out; "--only TEXT" leaves out what has another name.
string? only = args.SkipWhile(arg => arg != "--only").Skip(1).FirstOrDefault();
string? output = args.SkipWhile(arg => arg != "--out").Skip(1).FirstOrDefault();
string report = ProofBenchmarks.Run(only);
if (output is not null)
{
    Directory.CreateDirectory(Path.GetDirectoryName(Path.GetFullPath(output))!);
    File.WriteAllText(output, report);
}

Console.WriteLine(report);
