using Agent.Cli.Input;
using Agent.Cli.Verbs;

namespace Agent.Cli.Output;

/// <summary>What went wrong: as text on stderr, or as the one document that --json promises.</summary>
internal static class Errors
{
    public static void Print(Call call, CliException error)
    {
        if (call.Json)
        {
            call.Out.Raw(Document(error.Code, error.Message, error.Remedy));
            return;
        }

        call.Error.Line(("sgctl: ", Screen.Bad), (error.Message, Screen.Plain));
        if (error.Remedy.Length > 0)
        {
            call.Error.Line($"  {error.Remedy}");
        }
    }

    /// <summary>What went wrong, for programs.</summary>
    public static string Document(string code, string message, string remedy) => Json.Document(json =>
    {
        json.WriteStartObject("error");
        json.WriteString("code", code);
        json.WriteString("message", message);
        json.WriteString("remedy", remedy);
        json.WriteEndObject();
    });

    public static void Print(Call call, InvalidInputException error)
    {
        if (call.Json)
        {
            call.Out.Raw(Json.Document(json =>
            {
                json.WriteStartObject("error");
                json.WriteString("code", "input_invalid");
                json.WriteString("message", error.Message);
                json.WriteString("file", error.File);
                Json.Write(json, "faults", error.Faults);
                json.WriteEndObject();
            }));
            return;
        }

        call.Error.Line(($"{error.File}: ", Screen.Plain), (Count.Of(error.Faults.Length, "fault"), Screen.Bad));
        Faults(call.Error, error.File, error.Faults);
    }

    /// <summary>Each fault on three lines: where, what, and what to do.</summary>
    public static void Faults(Screen screen, string file, IEnumerable<FileFault> faults)
    {
        foreach (FileFault one in faults)
        {
            string name = one.File ?? file;
            string place = one.At is Place at ? $"{name}:{at}" : name;
            screen.Line();
            screen.Line((place, Screen.Strong), (one.Fault.Path.Length > 0 ? $"  {one.Fault.Path}" : "", Screen.Plain));
            screen.Line(("  ", Screen.Plain), (one.Fault.Message, Screen.Bad), ($" ({one.Fault.Code})", Screen.Dim));
            screen.Line($"  {one.Fault.Remedy}");
        }
    }
}
