using System.Globalization;
using Agent.V1;

namespace Agent.Cli.Output;

/// <summary>A step that waits to be confirmed, for people.</summary>
internal static class MassChangeText
{
    /// <summary>As the answer to a step.</summary>
    public static void Answer(Screen screen, MassChange change)
    {
        string goesOn = change.HeldRevision == 0 ? "nothing" : Invariant($"revision {change.HeldRevision}");
        screen.Line(("held", Screen.Bad),
            (Invariant($": revision {change.Revision} {change.Message}; {goesOn} stays enforced"), Screen.Plain));
        Removals(screen, change);
        screen.Fields(
            ("look at it", "sgctl staged"),
            ("confirm", Invariant($"sgctl staged --commit --revision {change.Revision}")),
            ("discard", "sgctl staged --discard"));
    }

    /// <summary>As what is staged.</summary>
    public static void Staged(Screen screen, MassChange change)
    {
        screen.Line(("held", Screen.Bad), (Invariant(
            $": nobody staged it; it {change.Message}, and waits for --commit --revision {change.Revision}"),
            Screen.Plain));
        Removals(screen, change);
    }

    private static void Removals(Screen screen, MassChange change) => screen.Table(
        ["", "now", "removed", "afterwards"],
        [
            .. change.Removals.Select(removal => new Cell[]
            {
                removal.Kind,
                Invariant($"{removal.Before}"),
                new(Invariant($"{removal.Removed}"), removal.IsReason ? Screen.Bad : Screen.Plain),
                Invariant($"{removal.After}"),
            }),
        ]);

    private static string Invariant(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);
}
