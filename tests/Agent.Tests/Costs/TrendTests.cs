using Agent.Soak.Judging;

namespace Agent.Tests.Costs;

/// <summary>What a long run is judged by: growth is found, noise and a start are not taken for it.</summary>
public sealed class TrendTests
{
    [Fact]
    public void A_leak_is_found_under_noise_that_is_many_times_larger()
    {
        var random = new Random(1);
        double growth = Trend.Growth(Points(300, x => 100 + (0.1 * x) + (40 * random.NextDouble())))!.Value;
        Assert.InRange(growth, 15, 25); // 20 over two thirds of 300
    }

    [Fact]
    public void Noise_is_no_growth()
    {
        var random = new Random(2);
        Assert.InRange(Trend.Growth(Points(300, _ => 100 + (40 * random.NextDouble())))!.Value, -6, 6);
    }

    [Fact]
    public void What_is_collected_now_and_then_is_no_growth()
    {
        double growth = Trend.Growth(Points(300, x => 50 + (x % 23)))!.Value;
        Assert.InRange(growth, -3, 3);
    }

    [Fact]
    public void A_start_is_no_growth_and_single_wild_points_are_none_either()
    {
        Assert.Equal(0, Trend.Growth(Points(300, x => x < 100 ? x : 100)));
        Assert.Equal(0, Trend.Growth(Points(300, x => x % 5 == 4 ? 1e6 : 100)));
    }

    [Fact]
    public void A_step_in_the_middle_of_what_is_judged_is_growth()
    {
        Assert.True(Trend.Growth(Points(300, x => x < 200 ? 10 : 20)) > 5);
    }

    [Fact]
    public void Too_few_points_say_nothing()
    {
        Assert.Null(Trend.Growth(Points(9, x => x)));
        Assert.Null(Trend.Growth([]));
        Assert.Equal(0, Trend.Level([]));
    }

    [Fact]
    public void The_level_is_what_it_was_when_the_judged_time_began() =>
        Assert.InRange(Trend.Level(Points(300, x => x)), 100, 120);

    private static (double X, double Y)[] Points(int count, Func<int, double> value) =>
        [.. Enumerable.Range(0, count).Select(x => ((double)x, value(x)))];
}
